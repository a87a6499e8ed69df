/** A connection that policy granted, and the ways it may go on. */
import type { Duplex } from "node:stream";
import type { Host } from "@caisson/policy";
import { looksLikeRequest } from "../sniff/request-line.ts";
import { RequestWatch } from "../sniff/request-watch.ts";
import type { Rewriter } from "../redact/rewriter.ts";
import { dialSecure } from "../upstream/connect.ts";
import { dial } from "../resolve/dial.ts";
import type { Target } from "../resolve/resolver.ts";
import { relay } from "../tunnel/relay.ts";
import type { ConnectionRecord } from "./connection-record.ts";
import type { Sandbox } from "./sandbox.ts";

export interface Connection {
  readonly sandbox: Sandbox;
  readonly host: Host;
  readonly port: number;
  readonly target: Target;
  readonly record: ConnectionRecord;
  /** Aborted when the guest has left. */
  readonly signal: AbortSignal;
  /** Whether the bytes have to be understood: a secret may go there, or only some hosts are allowed. */
  readonly reads: boolean;
}

/** Thrown to end a connection for a reason that the audit should know. */
export class Refused extends Error {
  readonly rule: string;
  /** Where the guest said hello in TLS and has no answer yet, so that it can be told in TLS. */
  readonly speaksTls: Duplex | undefined;
  constructor(rule: string, message: string, speaksTls?: Duplex) {
    super(message);
    this.rule = rule;
    this.speaksTls = speaksTls;
  }
}

/** What is inside TLS that we ended, or nothing. */
export interface Inside {
  readonly alpn: string | undefined;
}

/** Opens a connection to the checked address, inside verified TLS where the guest's own TLS was ended. */
export async function openUpstream(
  { sandbox, host, target, record, signal }: Connection,
  inside: Inside | undefined,
): Promise<Duplex> {
  const { dialing } = sandbox.shared;
  const alpn = inside?.alpn === undefined ? [] : [inside.alpn];
  const { socket, address } =
    inside === undefined
      ? await dial(target, { ...dialing, signal, halfOpen: true })
      : await dialSecure(host.text, target, { ...dialing, signal, alpn, sessions: new Map() });
  record.address = address;
  return socket;
}

/**
 * For what comes back unread. Only of hosts that a secret is for: no other has been told one by us, and what waits for the end of a word
 * slows a dialogue.
 */
export function tunnelRewriter({ sandbox, host }: Connection): Rewriter | undefined {
  return sandbox.vault.learns(host) ? sandbox.redactor.stream("unknown") : undefined;
}

/** @param rewriter with what it holds of bytes that came before */
export function tunnel(
  connection: Connection,
  guest: Duplex,
  upstream: Duplex,
  rewriter = tunnelRewriter(connection),
): void {
  const { record, sandbox } = connection;
  if (record.protocol === "unknown") record.protocol = "tcp";
  const watch = sandbox.policy.restricted ? new RequestWatch() : undefined;
  relay({
    guest,
    upstream,
    rewriter,
    judge: (chunk) => (watch?.suspects(chunk) === true ? unreadRequest() : undefined),
    onEnd: (error) =>
      error instanceof Refused ? record.done("refused", error.rule, error.message) : record.done("allowed", "allowed"),
  });
}

/** Why a guest that has said all, too little to be told what it is, must not be heard; undefined when it may. */
export function faultOfCut({ sandbox }: Connection, said: Buffer): Refused | undefined {
  // Python reads a request line that ends with the connection; with a URL in it that is enough to ask for another host.
  const mayBeRequest = sandbox.policy.restricted && looksLikeRequest(said.toString("latin1").trimStart());
  return mayBeRequest ? unreadRequest() : undefined;
}

const unreadRequest = (): Refused =>
  new Refused("unclear-protocol", "What was said may be a request of HTTP, though not as the standard has it.");

/** A connection of the guest that the policy allows, and the error that ends one. */
import type { Duplex } from "node:stream";
import type { Host } from "@caisson/policy";
import type { Target } from "../resolve/resolver.ts";
import type { ConnectionRecord } from "./connection-record.ts";
import type { Sandbox } from "./sandbox.ts";

export interface GuestConnection {
  readonly sandbox: Sandbox;
  readonly host: Host;
  readonly port: number;
  readonly target: Target;
  readonly record: ConnectionRecord;
  /** Aborted when the guest has disconnected. */
  readonly signal: AbortSignal;
  /** Whether the bytes must be read: a secret may go there, only some hosts are allowed, or the host has an authority of its own. */
  readonly reads: boolean;
  /** Whether it matters which host is named inside: there is a list of hosts, or a secret is for this one, and it is not passed through. */
  readonly judged: boolean;
}

/** Thrown to refuse a connection, with the rule for the audit event. */
export class ConnectionRefused extends Error {
  readonly rule: string;
  /** Where the guest has sent a ClientHello that has no answer yet, so that the refusal can be sent in TLS. */
  readonly speaksTls: Duplex | undefined;
  constructor(rule: string, message: string, speaksTls?: Duplex) {
    super(message);
    this.rule = rule;
    this.speaksTls = speaksTls;
  }
}

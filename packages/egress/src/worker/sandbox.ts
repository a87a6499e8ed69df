/** Everything the proxy holds for one sandbox. */
import type { SecureContext } from "node:tls";
import { type Rate, TokenBucket } from "@caisson/guest-port";
import type { EgressAttachment, EgressEvent } from "@caisson/protocol";
import { compilePolicy, type Host, type Policy } from "@caisson/policy";
import type { Authority } from "../authority/authority.ts";
import { createSandboxAuthority } from "../authority/sandbox-authority.ts";
import type { Principal } from "../intercept/model/http-connection.ts";
import type { Http1Server } from "../intercept/http1/server.ts";
import { dial } from "../resolve/dial.ts";
import { ReadyConnections, type Dialled } from "../resolve/ready.ts";
import { TlsTerminator } from "../intercept/tls/terminate-tls.ts";
import { createRecorder, type Deliver } from "../record/recorder.ts";
import { createRedactor } from "../redact/redactor.ts";
import type { OriginOptions } from "../upstream/origin.ts";
import { Origins } from "../upstream/origins.ts";
import { trustOnly } from "../upstream/trust.ts";
import type { Found, RecordType } from "../resolve/records.ts";
import type { Resolver, Target } from "../resolve/resolver.ts";
import { createVault } from "../secrets/vault.ts";

/** What all sandboxes of a worker share. Nothing in it belongs to one of them. */
export interface Shared {
  readonly resolver: Resolver;
  readonly deliver: Deliver;
  readonly http1: Http1Server;
  readonly dialing: Omit<OriginOptions, "tlsSessions" | "budget">;
  readonly authoritySeed: Uint8Array;
}

export interface Sandbox extends Principal {
  readonly policy: Policy;
  readonly authority: Authority;
  readonly terminator: TlsTerminator;
  readonly shared: Shared;
  readonly dialing: Shared["dialing"];
  /**
   * Connects before the program has sent anything. Whoever dials the same addresses next, by `dialing`, gets the connection.
   * @returns the address, and what ends a connection that nobody has taken
   * @throws the error of the dial
   */
  connect(target: Target, signal: AbortSignal): Promise<{ readonly address: string; readonly release: () => void }>;
  /** Records other than addresses, of a name that policy allows. */
  lookUp(name: string, type: RecordType, signal: AbortSignal): Promise<Found>;
  /** Whether one more question for records may be asked now. */
  mayLookUp(): boolean;
  /** What is trusted for a host with an authority of its own; undefined: the usual ones. */
  trustFor(host: Host, port: number): SecureContext | undefined;
  /** Hands on the events that still wait. */
  flush(): void;
  /** Counts bytes on their way to a host; false when its budget is used up. */
  spend(host: Host, bytes: number): boolean;
}

/** DNS lookups under way at once. More wait in a queue, so that one sandbox cannot block the resolver for others. */
const maxLookups = 32;
/** Connections that are being made at once. More wait in a queue: a host that does not answer takes up to 20 s each. */
const maxDials = 128;
const maxBudgets = 10_000;
/**
 * Requests under way at once, over all connections: as many as there may be connections. HTTP/2 would allow a hundred on each of
 * them, and every one may hold a window of its upload and what waits of its answer.
 */
export const maxExchanges = 512;

/** Questions for records: as many at once, and in each second after that. */
const lookupRate: Rate = { burst: 100, perSecond: 20 };

export async function createSandbox(attachment: EgressAttachment, shared: Shared): Promise<Sandbox> {
  const policy = compilePolicy(attachment.policy);
  const redactor = createRedactor(attachment.secrets);
  const authority = await createSandboxAuthority(shared.authoritySeed, attachment.authority ?? attachment.sandboxId);
  const recorder = createRecorder(shared.deliver);
  const lookups = limiter(maxLookups);
  const dials = limiter(maxDials);
  const ready = new ReadyConnections();
  const dialing = { ...shared.dialing, ready };
  const questions = new TokenBucket(lookupRate);
  const spent = new Map<string, number>();
  const contexts = new Map<string, SecureContext>();
  const trustFor = (host: Host, port: number): SecureContext | undefined => {
    const pem = policy.authorityOf(host, port);
    if (pem === undefined) return undefined;
    const context = contexts.get(pem) ?? trustOnly(pem);
    contexts.set(pem, context);
    return context;
  };
  let exchanges = 0;
  return {
    id: attachment.sandboxId,
    policy,
    vault: createVault(attachment.secrets),
    redactor,
    authority,
    terminator: new TlsTerminator(authority),
    origins: new Origins(dialing, trustFor),
    trustFor,
    dialing,
    async connect(target, signal) {
      const dialled = await dials<Dialled>(() => dial(target, { ...shared.dialing, signal, halfOpen: true }), signal);
      return { address: dialled.address, release: ready.add(target, dialled) };
    },
    lookUp: (name, type, signal) => lookups(() => shared.resolver.records(name, type), signal),
    mayLookUp: () => questions.takeWhole(1),
    shared,
    flush: () => recorder.flush(),
    resolve: (host, port, signal) => lookups(() => shared.resolver.resolve(host, port), signal),
    enter() {
      if (exchanges >= maxExchanges) return undefined;
      exchanges++;
      return () => void exchanges--;
    },
    record(event: Omit<EgressEvent, "sandboxId">) {
      // Messages of upstreams and libraries may quote what they were sent.
      const { detail } = event;
      recorder.record({
        ...event,
        sandboxId: attachment.sandboxId,
        ...(detail !== undefined && { detail: redactor.text(detail) }),
      });
    },
    spend(host, bytes) {
      const budget = policy.maxBytesOutPerHost;
      if (budget === undefined) return true;
      const total = (spent.get(host.text) ?? 0) + bytes;
      if (spent.size < maxBudgets || spent.has(host.text)) spent.set(host.text, total);
      else return false;
      return total <= budget;
    },
  };
}

/** Runs at most `limit` tasks at a time. The others wait in a queue, and leave it when their signal aborts. */
function limiter(limit: number): <T>(task: () => Promise<T>, signal?: AbortSignal) => Promise<T> {
  let running = 0;
  const waiting = new Set<() => void>();
  const turn = (signal: AbortSignal | undefined): Promise<void> =>
    new Promise((resolve, reject) => {
      const leave = (): void => {
        waiting.delete(begin);
        reject(signal!.reason as Error);
      };
      const begin = (): void => {
        waiting.delete(begin);
        signal?.removeEventListener("abort", leave);
        resolve();
      };
      waiting.add(begin);
      signal?.addEventListener("abort", leave, { once: true });
    });
  return async (task, signal) => {
    signal?.throwIfAborted();
    if (running >= limit) await turn(signal);
    running++;
    try {
      return await task();
    } finally {
      running--;
      waiting.values().next().value?.();
    }
  };
}

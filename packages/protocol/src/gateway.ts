/** Gateway: public addresses of what runs inside machines. What the control plane and the gateway ask of each other. */
import type { Duplex } from "node:stream";
import type { Agent } from "./agent.ts";

/**
 * Answers where a name leads. Asked for every visit and never cached: finding a route may take a while, since what it leads to may have
 * to be started first.
 * @typeParam R what the asking gateway needs to reach the place: an `HttpRoute` for HTTP; SSH has a directory of its own kind
 */
export interface RouteDirectory<R> {
  /**
   * `reserved`: the name is somebody's and leads nowhere yet. Undefined: it is nobody's, or no longer.
   * @throws CaissonError with a message for the visitor, or the reason of the signal
   */
  find(name: string, options: { readonly signal: AbortSignal }): Promise<R | "reserved" | undefined>;
}

/** A place inside a machine that speaks HTTP. */
export interface HttpRoute {
  /** The sandbox (or app) whose visits these are: for limits and accounts. */
  readonly workloadId: string;
  /**
   * A new connection to the port, inside the machine.
   * @throws CaissonError `unavailable`, `timeout`, `cancelled`, with a message for the visitor
   */
  connect(signal: AbortSignal): Promise<Duplex>;
  /** Longest wait for `connect`, milliseconds: what it leads to may have to be started first. Default 10 s. */
  readonly connectTimeout?: number;
  /** Aborted when the name no longer leads here. */
  readonly ended: AbortSignal;
}

/** One request or WebSocket that reached a machine, when it is over. */
export interface Visit {
  readonly workloadId: string;
  readonly kind: "request" | "websocket";
  /** Of the answer: the program's own, or the gateway's when the program gave none. */
  readonly status: number;
  /** Bytes of the connection in either direction, as the visitor's side counts them. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface HttpGateway {
  /** Listens. @throws CaissonError `unavailable`, `invalid_argument` when certificate files cannot be used */
  listen(directory: RouteDirectory<HttpRoute>): Promise<void>;
  /** What a visitor writes behind `https://`: the name below the gateway's domain, with the port unless it is 443. */
  addressOf(label: string): string;
  /** The label in an address or a hostname: letter case, a port and a final dot do not matter. Undefined: not of our domain. */
  labelOf(address: string): string | undefined;
  /** Must not throw. */
  onVisit(listener: (visit: Visit) => void): void;
  /** Takes no more connections and cuts those that are open. */
  close(): Promise<void>;
}

/** A machine that a user name of SSH leads to. */
export interface SshRoute {
  readonly workloadId: string;
  readonly agent: Agent;
  /** Aborted when the name no longer leads here. */
  readonly ended: AbortSignal;
}

/** One SSH connection that was logged in, when it is over. */
export interface SshVisit {
  readonly workloadId: string;
  /** Bytes of the connection in either direction, as the client's side counts them. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface SshGateway {
  /** `SHA256:...`, as OpenSSH prints it. */
  readonly fingerprint: string;
  /** As in `known_hosts`, without a hostname. */
  readonly publicKey: string;
  /** Listens. The names of the directory are user names. @throws CaissonError `unavailable` */
  listen(directory: RouteDirectory<SshRoute>): Promise<void>;
  /** Where clients connect. */
  address(): { readonly hostname: string; readonly port: number };
  /** Must not throw. */
  onVisit(listener: (visit: SshVisit) => void): void;
  /** Takes no more connections and cuts those that are open. */
  close(): Promise<void>;
}

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
  /** Requests get a `traceparent`, unless the visitor sent one. */
  readonly traced?: boolean;
  /** Absent: whoever knows the name may visit. */
  readonly guard?: VisitGuard | undefined;
}

/** Decides who may visit a protected name. The gateway reads credentials from requests, and never passes them on. */
export interface VisitGuard {
  /**
   * @param credential what the visitor shows: the token of a signed link (from the link, or from the cookie that the gateway made of
   *   it), or the value of the header `Caisson-Authorization`
   * @returns until when it is good, milliseconds since the epoch; undefined: it is not good
   */
  admits(credential: { readonly link: string } | { readonly authorization: string }): Promise<number | undefined>;
}

/**
 * Whoever serves names over HTTPS: exposed ports of sandboxes, apps. With several, the first that knows a name answers. A name is what
 * is left of `.<gateway.domain>`: one or several DNS labels in lower case, so `abc` or `shop.acme.app`. A hostname elsewhere has a final dot:
 * `shop.example.com.`. A directory answers undefined, without looking anything up, for names of another form than its own.
 */
export interface HttpDirectory extends RouteDirectory<HttpRoute | "ended"> {
  /**
   * Whether the name is somebody's or was, so that it may have a certificate. Asked in TLS handshakes, before the client has proved
   * anything: it must be cheap and must start nothing.
   */
  known(name: string, options: { readonly signal: AbortSignal }): Promise<boolean>;
}

/** One request or WebSocket that reached a machine, when it is over. */
export interface Visit {
  readonly workloadId: string;
  /** Left of the gateway's domain, or a hostname elsewhere with a final dot. */
  readonly name: string;
  readonly kind: "request" | "websocket";
  readonly version: "1.0" | "1.1" | "2";
  /** Milliseconds since the epoch, at the start. */
  readonly at: number;
  readonly durationMs: number;
  /** Address of the client. */
  readonly visitor: string;
  readonly method: string;
  /** Without the query, which may hold credentials. */
  readonly path: string;
  /** Of the answer: the program's own, or the gateway's when the program gave none. */
  readonly status: number;
  /** Why the gateway answered in the program's place. */
  readonly rule?: string | undefined;
  /** Bytes in either direction, as the visitor's side counts them; of HTTP/2 without its frames. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** PEM. The same object as long as it is the same certificate. */
export interface PublicCertificate {
  readonly cert: string;
  readonly key: string;
}

/** Certificates that browsers trust, from an authority outside. */
export interface PublicCertificates {
  /** For a hostname that is somebody's. Undefined: there is none, or not yet. Must not wait for the authority, which may ask back. */
  find(host: string): PublicCertificate | undefined;
  /** What proves to the authority that this hostname is ours (RFC 8737), while it asks. */
  challenge(host: string): PublicCertificate | undefined;
}

export interface HttpGateway {
  /**
   * Listens.
   * @param certificates absent: only those of the operator or of this installation's own authority
   * @throws CaissonError `unavailable`, `invalid_argument` when certificate files cannot be used
   */
  listen(directory: HttpDirectory, certificates?: PublicCertificates): Promise<void>;
  /** What a visitor writes behind `https://`: the name below the gateway's domain, with the port unless it is 443. */
  addressOf(name: string): string;
  /** The name in an address or a hostname: letter case, a port and a final dot do not matter. Undefined: not of our domain. */
  nameIn(address: string): string | undefined;
  /** Must not throw. */
  onVisit(listener: (visit: Visit) => void): void;
  /** Takes no more connections and cuts those that are open. */
  close(): Promise<void>;
}

/** A public key of a client. */
export interface SshKey {
  /** Type and base64, as in `authorized_keys`. */
  readonly publicKey: string;
  /** `SHA256:...`, as OpenSSH prints it. */
  readonly fingerprint: string;
}

export interface SshAllowedKey extends SshKey {
  /** Aborted when it may no longer be used. Connections that logged in with it end. */
  readonly removed: AbortSignal;
}

/** A machine that a user name of SSH leads to. */
export interface SshRoute {
  readonly workloadId: string;
  readonly agent: Agent;
  /** A login needs one of them, and the user name. Absent: the user name suffices. */
  readonly keys?: readonly SshAllowedKey[];
  /** Aborted when the name no longer leads here. */
  readonly ended: AbortSignal;
}

/** One SSH connection that has logged in. */
export interface SshLogin {
  /** Random; the same in its `SshVisit`. */
  readonly connection: string;
  readonly workloadId: string;
  /** SHA-256 of the user name in hexadecimal digits: the name is a credential. */
  readonly userHash: string;
  /** Fingerprint of the key that the client logged in with, if its organisation asks for one. */
  readonly key?: string;
  /** Of the client. */
  readonly address: string;
  readonly port: number;
  /** What the client says that it is, such as `OpenSSH_9.2`: printable characters. */
  readonly client: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** One SSH connection that was logged in, when it is over. */
export interface SshVisit extends SshLogin {
  readonly durationMs: number;
  /** Shells, commands and subsystems. */
  readonly sessions: number;
  /** Connections that were forwarded, in either direction. */
  readonly forwarded: number;
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
  /** @param text a line as in `authorized_keys`, without options @throws CaissonError `invalid_argument`: clients cannot log in with it */
  readKey(text: string): SshKey;
  /** Must not throw. Undefined: a login was refused. */
  onLogin(listener: (login: SshLogin | undefined) => void): void;
  /** Must not throw. */
  onVisit(listener: (visit: SshVisit) => void): void;
  /** Takes no more connections and cuts those that are open. */
  close(): Promise<void>;
}

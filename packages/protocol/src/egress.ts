/** Egress: what a sandbox may reach, which secrets it may use, and what was recorded. Data only. */

/** Absent `allow`: unrestricted (internal ranges stay closed). Empty: nothing. Patterns follow `allowNet` of the wire contract. */
export interface EgressPolicy {
  readonly allow?: readonly string[];
  /** Hosts whose TLS is not terminated and whose bytes are not read. Patterns as in `allow`. No secret can be for them. */
  readonly passThrough?: readonly string[];
  /** By pattern of hosts: certificates (PEM) that are trusted for them, in place of the public authorities. */
  readonly authorities?: Readonly<Record<string, string>>;
  /** Bytes that may leave to any one host over the sandbox's life. Absent: no limit. */
  readonly maxBytesOutPerHost?: number;
}

/** A secret as the control plane hands it to the egress proxy. The value exists in the proxy's memory and nowhere else. */
export interface SecretBinding {
  /** Name of the environment variable. */
  readonly name: string;
  /** What the guest sees. Random, made for this sandbox alone. */
  readonly placeholder: string;
  readonly value: string;
  /** Host patterns, in the grammar of `allowNet`, to which the value may go. */
  readonly hosts: readonly string[];
  /** Also replace in request bodies. Default false. */
  readonly inBody?: boolean;
  /** Only these methods, upper case. Absent: all. */
  readonly methods?: readonly string[];
  /** Only paths that begin with one of these. Absent: all. */
  readonly pathPrefixes?: readonly string[];
}

/** What the node asks of the egress proxy. */
export interface EgressAttachment {
  readonly sandboxId: string;
  /** Unix socket of the machine's egress port. The proxy connects to it and serves. */
  readonly socketPath: string;
  readonly policy: EgressPolicy;
  readonly secrets: readonly SecretBinding[];
  /** See `EgressSpec.authority`. */
  readonly authority?: string;
}

export type EgressVerdict = "allowed" | "refused" | "failed";

/** One connection or one request. Never holds a secret value, nor query values. */
export interface EgressEvent {
  readonly kind: "connection" | "request";
  /** Milliseconds since the epoch, at the start. */
  readonly at: number;
  readonly sandboxId: string;
  readonly connection: string;
  readonly host: string;
  readonly port: number;
  /** The address dialled, when one was. */
  readonly address?: string;
  readonly protocol: "tcp" | "tls" | "http/1.1" | "h2" | "websocket" | "dns" | "unknown";
  readonly verdict: EgressVerdict;
  /** The rule that decided, for people and for filters: stable kebab-case words such as `host-not-allowed`. */
  readonly rule: string;
  readonly method?: string;
  readonly path?: string;
  readonly status?: number;
  /** Of a connection: everything that the guest sent on it, TLS and heads included. Of a request: its body. */
  readonly bytesOut: number;
  /** The same of what came back. */
  readonly bytesIn: number;
  readonly durationMs: number;
  /** Names of the secrets that were put in. */
  readonly secrets?: readonly string[];
  readonly detail?: string;
}

/** The egress proxy as the node sees it. Implemented over worker processes. Policy and secrets are checked by `@caisson/policy`. */
export interface EgressGuard {
  /**
   * Serves a machine's egress port from now on. Answers with the certificate of the authority made for this sandbox (PEM).
   * @throws CaissonError `invalid_argument` when policy or secrets cannot be enforced
   */
  attach(attachment: EgressAttachment, options?: { signal?: AbortSignal }): Promise<{ caCertificatePem: string }>;
  detach(sandboxId: string): Promise<void>;
  /** Called with every batch of events; must not throw. */
  onEvents(listener: (events: readonly EgressEvent[], lost: number) => void): void;
  /** Called when a sandbox sent more on its egress port than it may: it has no network from then on and is to be ended. Must not throw. */
  onFlood(listener: (sandboxId: string, detail: string) => void): void;
  close(): Promise<void>;
}

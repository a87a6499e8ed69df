/** What the composition root gives the server, and what it gets. */
import type { Config, HttpGateway, SandboxNode, SshGateway } from "@caisson/protocol";
import type { Logger } from "pino";

export interface ServerOptions {
  /** State directory: database. */
  readonly home: string;
  readonly config: Config;
  /** Encrypts secrets in the database, 32 bytes. */
  readonly key: Buffer;
  readonly node: SandboxNode;
  /** Serves exposed ports. Absent: ports cannot be exposed. */
  readonly gateway?: HttpGateway | undefined;
  /** Serves SSH. Absent: there is none. */
  readonly ssh?: SshGateway | undefined;
  /** `postgres://...`; absent: SQLite in `home`. */
  readonly databaseUrl?: string | undefined;
  readonly log: Logger;
  /** Cancels the start. */
  readonly signal?: AbortSignal;
}

export interface CaissonServer {
  /** Organisation and token made on the first start. */
  readonly development: { readonly org: string; readonly token: string };
  /**
   * Takes the ports, then brings the store and the node in line, then serves HTTP and WebSocket. Until then clients get 503. When it
   * fails, the caller calls `close("leave")`: machines of a former process that were adopted go on. `url` has no trailing slash, because
   * the official clients refuse one. Once.
   * @throws CaissonError `unavailable` when a port is in use, or what a slice throws
   */
  start(address: { host: string; port: number }): Promise<{ url: string }>;
  /**
   * Ends all connections and closes the store. `end` ends every sandbox as well; `leave` leaves those with a duration to the next process.
   */
  close(sandboxes: "end" | "leave"): Promise<void>;
}

/** What the composition root gives the server, and what it gets. */
import type { Config, HttpGateway, SandboxNode } from "@caisson/protocol";
import type { Logger } from "pino";

export interface ServerOptions {
  /** State directory: database, encryption key. */
  readonly home: string;
  readonly config: Config;
  readonly node: SandboxNode;
  /** Serves exposed ports. Absent: ports cannot be exposed. */
  readonly gateway?: HttpGateway | undefined;
  /** `postgres://...`; absent: SQLite in `home`. */
  readonly databaseUrl?: string | undefined;
  readonly log: Logger;
  /** Cancels the start. */
  readonly signal?: AbortSignal;
}

export interface CaissonServer {
  /** Organisation and token made on the first start. */
  readonly development: { readonly org: string; readonly token: string };
  /** Serves HTTP and WebSocket. `url` has no trailing slash; the official clients refuse one. */
  listen(address: { host: string; port: number }): Promise<{ url: string }>;
  /**
   * Ends all connections and closes the store. `end` (default) ends every sandbox as well; `leave` leaves those with a duration
   * to the next process.
   */
  close(sandboxes?: "end" | "leave"): Promise<void>;
}

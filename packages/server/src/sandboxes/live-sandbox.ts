/** A sandbox that runs here: its workload, and the connections of its clients. */
import type { Agent } from "@caisson/protocol";
import type { Workload } from "../workloads/index.ts";

/** A client connection as a sandbox sees it. */
export interface SandboxConnection {
  /** Answers what is pending, ends streams, then closes with this code. */
  close(code: number, reason: string): void;
}

export class LiveSandbox implements Workload {
  readonly id: string;
  readonly kind = "sandbox";
  readonly orgId: string;
  /** It ends when its first connection ends. */
  readonly session: boolean;
  readonly agent: Agent;
  readonly caCertificatePem: string | undefined;
  readonly adopted: boolean;
  readonly since: number;
  readonly connections = new Set<SandboxConnection>();
  readonly #ended = new AbortController();
  #primary: SandboxConnection | undefined;
  /** When its primary connection was last seen, on the clock of `performance.now`. */
  #attendedAt = performance.now();

  constructor(workload: Workload, session: boolean) {
    this.id = workload.id;
    this.orgId = workload.orgId;
    this.session = session;
    this.agent = workload.agent;
    this.caCertificatePem = workload.caCertificatePem;
    this.adopted = workload.adopted;
    this.since = workload.since;
  }

  /** Aborted when nothing may connect any more. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Names the connection that a session ends with. */
  attend(primary: SandboxConnection): void {
    this.#primary = primary;
  }

  /**
   * For how long a session has been seen without its primary connection, milliseconds. 0 for one that does not need it.
   * Has to be called again and again: it is the time since the last call that found the connection.
   */
  unattended(): number {
    const now = performance.now();
    if (!this.session || (this.#primary !== undefined && this.connections.has(this.#primary))) this.#attendedAt = now;
    return now - this.#attendedAt;
  }

  closeConnections(code: number, reason: string): void {
    this.#ended.abort();
    for (const connection of this.connections) connection.close(code, reason);
  }
}

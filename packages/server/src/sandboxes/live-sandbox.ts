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

  closeConnections(code: number, reason: string): void {
    this.#ended.abort();
    for (const connection of this.connections) connection.close(code, reason);
  }
}

/** One running sandbox in this process: its machine, its connections, and what its processes need to be remembered for. */
import type { Machine } from "@caisson/protocol";
import { DenoProcesses } from "../rpc/deno-processes.ts";

/** A client connection as the lifecycle sees it. */
export interface SandboxConnection {
  /** Answers what is pending, ends streams, then closes with this code. */
  close(code: number, reason: string): void;
}

export class LiveSandbox {
  readonly id: string;
  readonly orgId: string;
  readonly session: boolean;
  readonly machine: Machine;
  /** Taken over from a former process, which has accounted for its use so far. */
  readonly adopted: boolean;
  /** On the clock of `performance.now`. */
  readonly since = performance.now();
  /** PEM of authorities that the operator trusts beside the public ones. */
  readonly extraCa: readonly string[];
  /** Nothing may connect any more. */
  ended = false;
  readonly connections = new Set<SandboxConnection>();
  /** Pids belong to the sandbox, so what is known about them outlives a connection. */
  readonly deno: DenoProcesses;

  constructor(options: {
    id: string;
    orgId: string;
    session: boolean;
    machine: Machine;
    adopted: boolean;
    extraCa: readonly string[];
  }) {
    this.id = options.id;
    this.orgId = options.orgId;
    this.session = options.session;
    this.machine = options.machine;
    this.adopted = options.adopted;
    this.extraCa = options.extraCa;
    this.deno = new DenoProcesses();
  }

  closeConnections(code: number, reason: string): void {
    this.ended = true;
    for (const connection of this.connections) connection.close(code, reason);
    this.deno.close();
  }
}

/** What a workload can hold beside its machine: each kind of resource is registered by the slice that owns it. */
import type { MachineSpec } from "@caisson/protocol";
import type { Workload, WorkloadPlan } from "./workload.ts";

export interface AcquireOptions {
  /** Without a prepared machine: the one that was acquired before has ended. */
  readonly afresh: boolean;
}

/** Every function is optional. `release` undoes `acquire`; both are called in the order of registration, `release` in the reverse one. */
export interface Resource {
  /** For the log. */
  readonly name: string;
  /**
   * Takes what the workload needs before its machine starts, and answers with what it adds to the machine. When this or a later step
   * fails, `release` is called.
   */
  acquire?(
    plan: WorkloadPlan,
    options: AcquireOptions,
  ): Promise<Partial<Pick<MachineSpec, "root" | "volumes" | "prepared">>>;
  /** The machine runs. Also after a restart, for one that was adopted. */
  started?(workload: Workload): Promise<void>;
  /**
   * Before the machine is ended, while its usage can still be read. Must not need the database: the machine ends after a second all the
   * same. A failure is logged.
   */
  ending?(workload: Workload): Promise<void>;
  /** The machine has ended, or never was. Idempotent: called again until it succeeds, and after a crash. */
  release?(workloadId: string): Promise<void>;
}

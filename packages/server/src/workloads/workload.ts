/** One kind of thing to a node: a machine with its disks, secrets, meters and names. A sandbox is one, an instance of an app and a build are others. */
import type { Agent, EgressSpec, ImageMount, MachineSpec } from "@caisson/protocol";

export type WorkloadKind = "sandbox" | "instance" | "build";

/** A disk by the name that its owner uses. */
export interface DiskRequest {
  /** Id or slug of a bootable volume, or of a snapshot of one. */
  readonly root?: string | undefined;
  /** What was counted for the layer that is removed with the workload, bytes. A snapshot as root may not be larger. */
  readonly writableBytes?: number | undefined;
  readonly volumes: readonly { readonly volume: string; readonly path: string }[];
}

/** What a workload shall be. */
export interface WorkloadPlan {
  readonly id: string;
  readonly kind: WorkloadKind;
  readonly orgId: string;
  /** MiB. */
  readonly memory: number;
  readonly vcpus: number;
  /** Environment without the placeholders of secrets, which are added. */
  readonly env: Readonly<Record<string, string>>;
  readonly egress: EgressSpec;
  readonly disks: DiskRequest;
  /** Files of apps. */
  readonly images?: readonly ImageMount[];
  readonly checkpoint?: MachineSpec["checkpoint"];
}

/** A workload whose machine runs. */
export interface Workload {
  readonly id: string;
  readonly kind: WorkloadKind;
  readonly orgId: string;
  readonly agent: Agent;
  /** The authority that signs for intercepted hosts. */
  readonly caCertificatePem: string | undefined;
  /** Taken over from a former process, which has accounted for its use so far. */
  readonly adopted: boolean;
  /** When it started here, on the clock of `performance.now`. */
  readonly since: number;
  /** Aborted when its end begins. */
  readonly ended: AbortSignal;
}

/** Volumes and snapshots as the rest of the control plane sees them. */
import type { MachineSpec, NodeMachines } from "@caisson/protocol";
import type { VolumeContext } from "../layers/context.ts";
import { refreshVolume } from "../layers/sizes.ts";
import type { SnapshotRow, VolumeRow } from "../layers/tables.ts";
import type { AcquireOptions, Resource, WorkloadPlan } from "../workloads/index.ts";
import { checkVolumes, type CheckReport } from "./check.ts";
import { createVolume, type VolumeRequest } from "./create-volume.ts";
import { deleteSnapshot, deleteVolume, restoreVolume } from "./delete.ts";
import { Janitor } from "./janitor.ts";
import { acquireDisks, releaseDisks } from "./leases.ts";
import {
  findSnapshot,
  findVolume,
  listSnapshots,
  listVolumes,
  withBase,
  type PageRequest,
  type VolumeWithBase,
} from "./lookup.ts";
import { PreparedRoots } from "./prepared.ts";
import { recoverVolumes, type RecoveryReport } from "./recover.ts";
import { takeSnapshot } from "./take-snapshot.ts";

export interface VolumesOptions {
  readonly ctx: VolumeContext;
  readonly machines: NodeMachines;
  /** Machines that may be prepared on snapshots. */
  readonly prepared: number;
  /** Memory of such a machine, MiB: it can get more, but not less. */
  readonly preparedMemory: number;
}

/** Milliseconds that an unneeded layer is kept. */
const patience = 15_000;

export class Volumes implements Resource {
  readonly name = "volumes";
  readonly #ctx: VolumeContext;
  readonly #prepared: PreparedRoots;
  readonly #preparedMemory: number;
  readonly #janitor: Janitor;
  readonly #measuring = new Set<Promise<void>>();

  constructor({ ctx, machines, prepared, preparedMemory }: VolumesOptions) {
    this.#ctx = ctx;
    this.#prepared = new PreparedRoots(ctx, machines, prepared);
    this.#preparedMemory = preparedMemory;
    this.#janitor = new Janitor(ctx, { patience });
  }

  /** Brings store and disk together after a start. After machines were adopted, before requests. */
  async start(): Promise<RecoveryReport> {
    const report = await recoverVolumes(this.#ctx);
    const { undone, settled, released } = report;
    if (undone.length + settled.length + released.length > 0)
      this.#ctx.log.info(report, "volumes of the former process");
    return report;
  }

  /** One pass of the background work. */
  async careFor(signal: AbortSignal): Promise<void> {
    await this.#janitor.run(signal);
  }

  async close(): Promise<void> {
    await this.#prepared.close();
    await Promise.all(this.#measuring);
  }

  /** See `createVolume`. */
  async create(orgId: string, request: VolumeRequest): Promise<VolumeWithBase> {
    return withBase(this.#ctx.db, await createVolume(this.#ctx, orgId, request));
  }

  async get(orgId: string, idOrSlug: string): Promise<VolumeWithBase | undefined> {
    const volume = await findVolume(this.#ctx.db, orgId, idOrSlug);
    return volume && withBase(this.#ctx.db, volume);
  }

  list(page: PageRequest): Promise<VolumeWithBase[]> {
    return listVolumes(this.#ctx.db, page);
  }

  /** See `deleteVolume`. */
  delete(orgId: string, idOrSlug: string): Promise<void> {
    return deleteVolume(this.#ctx, orgId, idOrSlug);
  }

  /** See `restoreVolume`. */
  restore(id: string, slug?: string): Promise<VolumeRow> {
    return restoreVolume(this.#ctx, id, slug);
  }

  /** See `takeSnapshot`. */
  snapshot(orgId: string, idOrSlug: string, slug: string): Promise<SnapshotRow> {
    return takeSnapshot(this.#ctx, orgId, idOrSlug, slug);
  }

  getSnapshot(orgId: string, idOrSlug: string): Promise<SnapshotRow | undefined> {
    return findSnapshot(this.#ctx.db, orgId, idOrSlug);
  }

  listSnapshots(page: PageRequest): Promise<SnapshotRow[]> {
    return listSnapshots(this.#ctx.db, page);
  }

  /** See `deleteSnapshot`. */
  async deleteSnapshot(orgId: string, idOrSlug: string): Promise<void> {
    // In this order, or a machine could be prepared on it in between. A prepared machine does not keep the snapshot from going.
    await this.#prepared.drop(await deleteSnapshot(this.#ctx, orgId, idOrSlug));
  }

  /** Disks for a new workload. See `acquireDisks`. */
  acquire(
    { orgId, id, disks, memory }: WorkloadPlan,
    { afresh }: AcquireOptions,
  ): Promise<Pick<MachineSpec, "root" | "volumes" | "prepared">> {
    const claims = !afresh && memory >= this.#preparedMemory;
    const claim = claims ? (snapshot: SnapshotRow) => this.#prepared.claim(snapshot) : undefined;
    return acquireDisks(this.#ctx, orgId, id, disks, claim);
  }

  /** After a workload's machine has ended. Idempotent. */
  async release(workloadId: string): Promise<void> {
    for (const id of await releaseDisks(this.#ctx, workloadId)) {
      // Nobody who ends a sandbox waits for this.
      const measuring = refreshVolume(this.#ctx, id).finally(() => this.#measuring.delete(measuring));
      this.#measuring.add(measuring);
    }
  }

  check(): Promise<CheckReport> {
    return checkVolumes(this.#ctx, { running: this.#ctx.running });
  }
}

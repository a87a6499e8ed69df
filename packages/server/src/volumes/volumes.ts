/** Volumes and snapshots, as routes and workloads use them. */
import type { MachineSpec, NodeMachines } from "@caisson/protocol";
import type { VolumeContext } from "../layers/context.ts";
import { findDamaged } from "../layers/damage.ts";
import { refreshVolume } from "../layers/sizes.ts";
import { recordMissingBytes } from "../layers/stored-bytes.ts";
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
  requireSnapshot,
  requireVolume,
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

export interface DamageCounts {
  readonly volumes: number;
  readonly snapshots: number;
}

/** Milliseconds that an unneeded layer is kept. */
const patience = 15_000;

export class Volumes implements Resource {
  readonly name = "volumes";
  readonly #ctx: VolumeContext;
  readonly #prepared: PreparedRoots;
  readonly #preparedMemory: number;
  readonly #janitor: Janitor;
  #damaged: DamageCounts = { volumes: 0, snapshots: 0 };
  readonly #measuring = new Set<Promise<void>>();
  readonly #machines: NodeMachines;
  /** Prepared machines that workloads were given, by workload. */
  readonly #claimed = new Map<string, string>();

  constructor({ ctx, machines, prepared, preparedMemory }: VolumesOptions) {
    this.#ctx = ctx;
    this.#machines = machines;
    this.#prepared = new PreparedRoots(ctx, machines, prepared);
    this.#preparedMemory = preparedMemory;
    this.#janitor = new Janitor(ctx, { patience });
  }

  /** How many volumes and snapshots of this node cannot be used because of damage, as of the last pass of the background work. */
  get damaged(): DamageCounts {
    return this.#damaged;
  }

  /** Brings database and images in line. Called after machines were adopted and before the first request. */
  async start(): Promise<RecoveryReport> {
    const report = await recoverVolumes(this.#ctx);
    const { undone, settled, released } = report;
    if (undone.length + settled.length + released.length > 0)
      this.#ctx.log.info(report, "volumes were recovered after a restart");
    await recordMissingBytes(this.#ctx);
    await this.#count(true);
    return report;
  }

  /** One pass of the background work. */
  async careFor(signal: AbortSignal): Promise<void> {
    await this.#prepared.dropDeleted();
    await this.#janitor.run(signal);
    await this.#count(false);
  }

  async #count(atStart: boolean): Promise<void> {
    const { marks, volumes, snapshots } = await findDamaged(this.#ctx);
    this.#damaged = { volumes: volumes.length, snapshots: snapshots.length };
    if (!atStart || marks.length === 0) return;
    this.#ctx.log.error(
      { marks: marks.map(({ kind, subject, reason }) => `${kind} ${subject}: ${reason}`), volumes, snapshots },
      "some volumes or snapshots are damaged and refused; everything else works (npm run volumes -- damaged)",
    );
  }

  async close(): Promise<void> {
    await this.#prepared.close();
    await Promise.all(this.#measuring);
  }

  /** See `createVolume`. */
  async create(orgId: string, request: VolumeRequest): Promise<VolumeWithBase> {
    return withBase(this.#ctx.db, await createVolume(this.#ctx, orgId, request));
  }

  /** @throws CaissonError `not_found` */
  async get(orgId: string, idOrSlug: string): Promise<VolumeWithBase> {
    return withBase(this.#ctx.db, await requireVolume(this.#ctx.db, orgId, idOrSlug));
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

  /** @throws CaissonError `not_found` */
  getSnapshot(orgId: string, idOrSlug: string): Promise<SnapshotRow> {
    return requireSnapshot(this.#ctx.db, orgId, idOrSlug);
  }

  listSnapshots(page: PageRequest): Promise<SnapshotRow[]> {
    return listSnapshots(this.#ctx.db, page);
  }

  /** See `deleteSnapshot`. */
  async deleteSnapshot(orgId: string, idOrSlug: string): Promise<void> {
    // In this order. Otherwise a machine could be prepared on the snapshot in between.
    await this.#prepared.drop(await deleteSnapshot(this.#ctx, orgId, idOrSlug));
  }

  /**
   * The most that the layer which is removed with a workload can take, bytes. 0 when its root is a volume, or does not exist.
   * @param root id or slug of a volume or snapshot
   */
  async writableBytes(orgId: string, root: string | undefined): Promise<number> {
    const { db, config } = this.#ctx;
    if (root === undefined) return config.sandbox.diskBytes;
    if ((await findVolume(db, orgId, root)) !== undefined) return 0;
    return (await findSnapshot(db, orgId, root))?.capacity ?? 0;
  }

  /** Disks for a new workload. See `acquireDisks`. */
  async acquire(
    { orgId, id, disks, memory }: WorkloadPlan,
    { afresh }: AcquireOptions,
  ): Promise<Pick<MachineSpec, "root" | "volumes" | "prepared">> {
    const claims = !afresh && memory >= this.#preparedMemory;
    const claim = claims ? (snapshot: SnapshotRow) => this.#prepared.claim(snapshot) : undefined;
    const acquired = await acquireDisks(this.#ctx, orgId, id, disks, claim);
    if (acquired.prepared !== undefined) this.#claimed.set(id, acquired.prepared);
    return acquired;
  }

  /** After a workload's machine has ended, or when it could not be started. Idempotent. */
  async release(workloadId: string): Promise<void> {
    // The start may have been given up before the node handed the prepared machine out.
    const prepared = this.#claimed.get(workloadId);
    if (prepared !== undefined) await this.#machines.discard(prepared);
    this.#claimed.delete(workloadId);
    for (const id of await releaseDisks(this.#ctx, workloadId)) {
      // In the background: the end of a sandbox does not wait for this.
      const measuring = refreshVolume(this.#ctx, id).finally(() => this.#measuring.delete(measuring));
      this.#measuring.add(measuring);
    }
  }

  check(): Promise<CheckReport> {
    return checkVolumes(this.#ctx, { running: this.#ctx.running });
  }
}

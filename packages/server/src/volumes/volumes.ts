/** Volumes and snapshots as the rest of the control plane sees them. */
import type { Config, LayerStore, SandboxNode } from "@caisson/protocol";
import type { Logger } from "pino";
import { repeat, type Repetition } from "../lifecycle/repeat.ts";
import type { Database } from "../store/tables.ts";
import { auditVolumes, type AuditReport } from "./audit.ts";
import type { DiskHolder, VolumeContext } from "./context.ts";
import { createVolume, type VolumeRequest } from "./create-volume.ts";
import { deleteSnapshot, deleteVolume, restoreVolume } from "./delete.ts";
import { Janitor } from "./janitor.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { acquireDisks, releaseDisks, type DiskRequest, type Disks } from "./leases.ts";
import {
  findSnapshot,
  findVolume,
  listSnapshots,
  listVolumes,
  withBase,
  type PageRequest,
  type VolumeWithBase,
} from "./lookup.ts";
import { recoverVolumes, type RecoveryReport } from "./recover.ts";
import { refreshVolume } from "./sizes.ts";
import { StandingRoots } from "./standing.ts";
import { takeSnapshot } from "./take-snapshot.ts";
import type { SnapshotRow, VolumeRow } from "./tables.ts";

export interface VolumesOptions {
  readonly db: Database;
  readonly lockRows: boolean;
  readonly layers: LayerStore;
  readonly config: Pick<Config, "volumes" | "sandbox" | "pool">;
  readonly baseImage: string;
  /** The machine of a sandbox, until its process has gone. */
  readonly machine: (sandboxId: string) => DiskHolder | undefined;
  /** While a sandbox is being ended: resolves when it has ended and given its disks back. */
  readonly ending: (sandboxId: string) => Promise<void> | undefined;
  readonly stand: SandboxNode["stand"];
  readonly log: Logger;
}

/** Milliseconds between two passes of the background work, and that an unneeded layer is kept. */
const interval = 5_000;
const patience = 15_000;

export class Volumes {
  readonly #ctx: VolumeContext;
  readonly #standing: StandingRoots;
  readonly #standingMemory: number;
  readonly #janitor: Janitor;
  readonly #stop = new AbortController();
  readonly #measuring = new Set<Promise<void>>();
  #repetition: Repetition | undefined;

  constructor(options: VolumesOptions) {
    const { stand, ...rest } = options;
    const { pool, sandbox } = options.config;
    this.#ctx = { ...rest, locks: new KeyedLock() };
    this.#standing = new StandingRoots(this.#ctx, stand, pool.size === 0 ? 0 : pool.standing);
    this.#standingMemory = sandbox.memoryDefault;
    this.#janitor = new Janitor(this.#ctx, { patience });
  }

  /** Makes the place for the images. Before everything else. */
  prepare(): Promise<void> {
    return this.#ctx.layers.open();
  }

  /** Brings store and disk together after a start; then the background work begins. After machines were adopted, before requests. */
  async start(): Promise<RecoveryReport> {
    const report = await recoverVolumes(this.#ctx);
    const { undone, settled, released } = report;
    if (undone.length + settled.length + released.length > 0)
      this.#ctx.log.info(report, "volumes of the former process");
    this.#repetition = repeat(interval, "care for volumes", this.#ctx.log, async () => {
      await this.#janitor.run(this.#stop.signal);
    });
    return report;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#standing.close();
    await this.#repetition?.stop();
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
    // In this order, or a machine could be made on it again in between. One that stands does not keep the snapshot from going.
    await this.#standing.drop(await deleteSnapshot(this.#ctx, orgId, idOrSlug));
  }

  /**
   * Disks for a new sandbox. See `acquireDisks`.
   * @param request.memory of the sandbox, MiB: a machine that stands on a snapshot can get more, but not less
   * @param options.afresh also where a machine stands already
   */
  acquire(
    orgId: string,
    sandboxId: string,
    request: DiskRequest & { readonly memory: number },
    { afresh = false }: { afresh?: boolean } = {},
  ): Promise<Disks> {
    const claims = !afresh && request.memory >= this.#standingMemory;
    return acquireDisks(
      this.#ctx,
      orgId,
      sandboxId,
      request,
      claims ? (snapshot) => this.#standing.claim(snapshot) : undefined,
    );
  }

  /** After a sandbox's machine has ended. Idempotent. */
  async release(sandboxId: string): Promise<void> {
    for (const id of await releaseDisks(this.#ctx, sandboxId)) {
      // Nobody who ends a sandbox waits for this.
      const measuring = refreshVolume(this.#ctx, id).finally(() => this.#measuring.delete(measuring));
      this.#measuring.add(measuring);
    }
  }

  audit(): Promise<AuditReport> {
    return auditVolumes(this.#ctx, { running: (sandboxId) => this.#ctx.machine(sandboxId) !== undefined });
  }
}

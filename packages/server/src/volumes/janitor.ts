/**
 * Background work: frees the storage of deleted volumes, removes layers that nothing uses, keeps chains short, measures sizes, and stores
 * copies at rest.
 */
import type { LayerId } from "@caisson/protocol";
import { layerChain, type VolumeContext } from "../layers/context.ts";
import { settleCopies } from "../layers/copies.ts";
import { clearDamage, findDamaged, guarded, verdictOn } from "../layers/damage.ts";
import { inspectLayer, inspectLayers, inspectMarked } from "../layers/inspect.ts";
import { planLayers, type Collapse, type Plan } from "../layers/planner.ts";
import { removeLayer } from "../layers/remove.ts";
import { refreshVolume } from "../layers/sizes.ts";
import { archiveOne, collapseLayer } from "../layers/upkeep.ts";
import { undoCreate } from "./create-volume.ts";
import { settleVolume } from "./take-snapshot.ts";

/** Deeper chains are flattened. Reads through 16 layers are as fast as through one; through 50 they are about half as fast. */
const maxDepth = 16;

/** Milliseconds. Longer than any request takes. */
const unclearAfter = 60_000;
/** Milliseconds. Longer than the creation of a volume takes: its tools are ended after some minutes. */
const undoneAfter = 15 * 60_000;

/** Milliseconds. */
const inspectAllInterval = 3_600_000;
const inspectMarkedInterval = 60_000;

export interface JanitorOptions {
  /** Milliseconds that a layer must have been unused before it is removed, because a sandbox that starts may be about to open it. */
  readonly patience: number;
}

export class Janitor {
  readonly #ctx: VolumeContext;
  readonly #patience: number;
  readonly #unneededSince = new Map<LayerId, number>();
  /** On the clock of `performance.now`. The first pass follows an inspection of all layers at the start. */
  #inspectAllAt = 0;
  #inspectMarkedAt = 0;

  constructor(ctx: VolumeContext, { patience }: JanitorOptions) {
    this.#ctx = ctx;
    this.#patience = patience;
  }

  /** One pass. @returns whether something was changed, so that another pass may find more to do */
  async run(signal: AbortSignal): Promise<boolean> {
    await this.#settle();
    await this.#undo();
    await this.#inspect(signal);
    let changed = (await this.#reclaim()) > 0;
    const damaged = (await findDamaged(this.#ctx)).layers;
    const plan = await this.#plan(damaged);
    changed = (await this.#remove(plan.remove)) || changed;
    for (const collapse of plan.collapse) {
      if (signal.aborted) return changed;
      changed = (await this.#collapse(collapse, signal)) || changed;
    }
    await this.#measureAttached(damaged);
    if (!changed) changed = await archiveOne(this.#ctx, this.#patience, signal);
    return changed;
  }

  /** Settles snapshots whose machine did not answer when they were taken. */
  async #settle(): Promise<void> {
    const { db, locks, log } = this.#ctx;
    const unclear = await db
      .selectFrom("snapshots")
      .selectAll()
      .where("node_id", "=", this.#ctx.nodeId)
      .where("state", "=", "creating")
      .where("created_at", "<", Date.now() - unclearAfter)
      .execute();
    // At the same time: each may wait for the monitor of its machine.
    await Promise.all(
      unclear.map(({ id, volume }) =>
        locks
          .run(`volume:${volume}`, async () => {
            await settleVolume(this.#ctx, volume);
            await clearDamage(this.#ctx, volume, "structure");
          })
          .catch((error: unknown) =>
            log.warn(
              { err: error, snapshot: id },
              "an unfinished snapshot could not be settled; it will be tried again",
            ),
          ),
      ),
    );
  }

  /** Removes volumes whose creation failed and could not be undone then: they count against the limit of their organisation. */
  async #undo(): Promise<void> {
    const failed = await this.#ctx.db
      .selectFrom("volumes")
      .select(["id", "head"])
      .where("node_id", "=", this.#ctx.nodeId)
      .where("state", "=", "creating")
      .where("created_at", "<", Date.now() - undoneAfter)
      .execute();
    for (const volume of failed)
      await guarded(this.#ctx, { subject: volume.id, kind: "volume" }, () => undoCreate(this.#ctx, volume));
  }

  /** Looks for damage: all images and copies at rest once an hour, marked images once a minute. */
  async #inspect(signal: AbortSignal): Promise<void> {
    const now = performance.now();
    if (now >= this.#inspectAllAt) {
      this.#inspectAllAt = now + inspectAllInterval;
      this.#inspectMarkedAt = now + inspectMarkedInterval;
      await inspectLayers(this.#ctx, signal);
      await settleCopies(this.#ctx, signal);
    } else if (now >= this.#inspectMarkedAt) {
      this.#inspectMarkedAt = now + inspectMarkedInterval;
      await inspectMarked(this.#ctx);
    }
  }

  /** A failure concerns this layer alone, and the others go on. */
  async #collapse(collapse: Collapse, signal: AbortSignal): Promise<boolean> {
    try {
      return await collapseLayer(this.#ctx, collapse, signal);
    } catch (error) {
      if (verdictOn(error) === "other") throw error;
      if (!signal.aborted)
        this.#ctx.log.warn(
          { err: error, layer: collapse.layer },
          "a layer could not be collapsed; it will be tried again",
        );
      const rows = await layerChain(this.#ctx.db, collapse.layer).catch(() => []);
      for (const { id } of rows) await inspectLayer(this.#ctx, id);
      return false;
    }
  }

  /** Removes the rows of deleted volumes that can no longer be restored. Then nothing uses their layers. */
  async #reclaim(): Promise<number> {
    const { db, log } = this.#ctx;
    const due = await db
      .selectFrom("volumes")
      .select("id")
      .where("node_id", "=", this.#ctx.nodeId)
      .where("state", "=", "deleted")
      .where("reclaim_at", "<=", Date.now())
      .execute();
    for (const { id } of due) {
      await db.deleteFrom("volumes").where("id", "=", id).where("state", "=", "deleted").execute();
      log.info({ volume: id }, "storage of a deleted volume is freed");
    }
    return due.length;
  }

  async #plan(damaged: ReadonlySet<LayerId>): Promise<Plan> {
    const { db, nodeId } = this.#ctx;
    const [layers, volumes, snapshots, leases] = await Promise.all([
      db
        .selectFrom("layers")
        .select(["id", "parent", "kind", "state", "sealed", "held_by"])
        .where("node_id", "=", nodeId)
        .execute(),
      db.selectFrom("volumes").select(["head", "attached_to"]).where("node_id", "=", nodeId).execute(),
      db.selectFrom("snapshots").select(["layer", "next_head"]).where("node_id", "=", nodeId).execute(),
      db.selectFrom("disk_leases").select("layer").where("node_id", "=", nodeId).execute(),
    ]);
    const written = new Set([
      ...volumes.filter(({ attached_to }) => attached_to !== null).map(({ head }) => head),
      ...leases.map(({ layer }) => layer),
    ]);
    const held = layers.filter(({ held_by }) => held_by !== null).map(({ id }) => id);
    const referenced = new Set([...volumes.map(({ head }) => head), ...written]);
    for (const { layer, next_head } of snapshots) {
      referenced.add(layer);
      if (next_head !== null) {
        referenced.add(next_head);
        // Not settled: a machine may write to either of the two.
        written.add(layer).add(next_head);
      }
    }
    return planLayers({ layers, referenced, written: new Set([...written, ...held]), damaged, maxDepth });
  }

  async #remove(ids: readonly LayerId[]): Promise<boolean> {
    const now = performance.now();
    for (const id of this.#unneededSince.keys()) if (!ids.includes(id)) this.#unneededSince.delete(id);
    let changed = false;
    for (const id of ids) {
      const since = this.#unneededSince.get(id) ?? now;
      this.#unneededSince.set(id, since);
      if (now - since < this.#patience) continue;
      changed = (await removeLayer(this.#ctx, id)) || changed;
    }
    return changed;
  }

  async #measureAttached(damaged: ReadonlySet<LayerId>): Promise<void> {
    const stale = await this.#ctx.db
      .selectFrom("volumes")
      .select(["id", "head"])
      .where("node_id", "=", this.#ctx.nodeId)
      .where("state", "=", "ready")
      .where("attached_to", "is not", null)
      .where("measured_at", "<", Date.now() - 60_000)
      .execute();
    for (const { id, head } of stale) if (!damaged.has(head)) await refreshVolume(this.#ctx, id);
  }
}

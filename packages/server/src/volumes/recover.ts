/** Finishes or undoes what an earlier process left unfinished. Runs once, after running machines were adopted and before any request. */
import type { NodeId } from "@caisson/protocol";
import type { VolumeContext } from "../layers/context.ts";
import { guarded, verdictOn } from "../layers/damage.ts";
import { inspectLayers } from "../layers/inspect.ts";
import { removeLayer } from "../layers/remove.ts";
import type { LayerState, VolumeDatabase } from "../layers/tables.ts";
import { undoCreate } from "./create-volume.ts";
import { releaseDisks } from "./leases.ts";
import { tablesOfNodes } from "./migrations.ts";
import { settleSnapshot } from "./take-snapshot.ts";

export interface RecoveryReport {
  /** Volumes whose creation was undone. */
  readonly undone: readonly string[];
  /** Snapshots that were finished or undone. */
  readonly settled: readonly string[];
  /** Sandboxes whose disks were released. */
  readonly released: readonly string[];
}

/** Gives rows that were written before there were nodes to this node. Idempotent. */
export async function claimRows(db: VolumeDatabase, nodeId: NodeId): Promise<void> {
  for (const table of tablesOfNodes)
    await db.updateTable(table).set({ node_id: nodeId }).where("node_id", "is", null).execute();
}

/**
 * A failure on one row marks it as damaged, or leaves it to the background work, and the rest goes on.
 * @throws what concerns more than one row, such as a database that fails
 */
export async function recoverVolumes(ctx: VolumeContext): Promise<RecoveryReport> {
  const { db, layers, nodeId } = ctx;
  // Found again below, when it is still so.
  await db
    .deleteFrom("damages")
    .where("node_id", "=", nodeId)
    .where("kind", "!=", "layer")
    .where("depth", "=", "structure")
    .execute();
  const undone: string[] = [];
  for (const volume of await db
    .selectFrom("volumes")
    .select(["id", "head"])
    .where("node_id", "=", nodeId)
    .where("state", "=", "creating")
    .execute()) {
    if (await guarded(ctx, { subject: volume.id, kind: "volume" }, () => undoCreate(ctx, volume)))
      undone.push(volume.id);
  }
  // Both files of a swap have the same content. The header says which of them is in place.
  for (const { id } of await layersIn(ctx, "swapping")) {
    const file = await layers.stat(id).catch((error: unknown) => {
      if (verdictOn(error) === "other") throw error;
    });
    // Without a file it is the former one, whose copy may exist. The inspection says so.
    await db
      .updateTable("layers")
      .set(file === undefined ? { state: "ready" } : { state: "ready", parent: file.parent, checksum: null })
      .where("id", "=", id)
      .execute();
  }
  await inspectLayers(ctx);
  const settled = await settleSnapshots(ctx);
  const released: string[] = [];
  for (const { sandbox } of await db
    .selectFrom("disk_leases")
    .select("sandbox")
    .distinct()
    .where("node_id", "=", nodeId)
    .execute()) {
    if (ctx.running(sandbox)) continue;
    try {
      await releaseDisks(ctx, sandbox);
      released.push(sandbox);
    } catch (error) {
      if (verdictOn(error) === "other") throw error;
      ctx.log.warn(
        { err: error, sandbox },
        "the disks of an ended sandbox were not released; the next start tries again",
      );
    }
  }
  for (const { id } of await layersIn(ctx, "removing")) await removeLayer(ctx, id);
  // Nothing uses layers that are still `creating`: built-in layers that were not finished.
  for (const { id } of await layersIn(ctx, "creating")) {
    await guarded(ctx, { subject: id, kind: "layer" }, async () => {
      // The overlay of a snapshot that waits to be settled.
      if ((await db.selectFrom("snapshots").select("id").where("next_head", "=", id).executeTakeFirst()) !== undefined)
        return;
      await layers.remove(id);
      await db.deleteFrom("layers").where("id", "=", id).execute();
    });
  }
  return { undone, settled, released };
}

function layersIn({ db, nodeId }: VolumeContext, state: LayerState): Promise<{ id: string }[]> {
  return db.selectFrom("layers").select("id").where("node_id", "=", nodeId).where("state", "=", state).execute();
}

/** At the same time: each may ask the monitor of its machine, and a hostile one does not answer. */
async function settleSnapshots(ctx: VolumeContext): Promise<readonly string[]> {
  const rows = await ctx.db
    .selectFrom("snapshots")
    .selectAll()
    .where("node_id", "=", ctx.nodeId)
    .where("state", "=", "creating")
    .execute();
  const done = await Promise.all(
    rows.map((snapshot) =>
      guarded(ctx, { subject: snapshot.volume, kind: "volume" }, () => settleSnapshot(ctx, snapshot)),
    ),
  );
  return rows.filter((_, index) => done[index]).map(({ id }) => id);
}

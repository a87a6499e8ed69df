/** Finishes or undoes what an earlier process left unfinished. Runs once, after running machines were adopted and before any request. */
import type { NodeId } from "@caisson/protocol";
import type { VolumeContext } from "../layers/context.ts";
import { removeLayer } from "../layers/remove.ts";
import type { VolumeDatabase } from "../layers/tables.ts";
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

export async function recoverVolumes(ctx: VolumeContext): Promise<RecoveryReport> {
  const { db, layers, nodeId } = ctx;
  const undone: string[] = [];
  for (const volume of await db
    .selectFrom("volumes")
    .select(["id", "head"])
    .where("node_id", "=", nodeId)
    .where("state", "=", "creating")
    .execute()) {
    await undoCreate(ctx, volume);
    undone.push(volume.id);
  }
  // Both files of a swap have the same content. The header says which of them is in place.
  for (const { id } of await db
    .selectFrom("layers")
    .select("id")
    .where("node_id", "=", nodeId)
    .where("state", "=", "swapping")
    .execute()) {
    const file = await layers.stat(id);
    if (file === undefined) throw new Error(`The image of layer ${id} is missing.`);
    await db
      .updateTable("layers")
      .set({ state: "ready", parent: file.parent, checksum: null })
      .where("id", "=", id)
      .execute();
  }
  const settled: string[] = [];
  for (const snapshot of await db
    .selectFrom("snapshots")
    .selectAll()
    .where("node_id", "=", nodeId)
    .where("state", "=", "creating")
    .execute()) {
    await settleSnapshot(ctx, snapshot);
    settled.push(snapshot.id);
  }
  const released: string[] = [];
  for (const { sandbox } of await db
    .selectFrom("disk_leases")
    .select("sandbox")
    .distinct()
    .where("node_id", "=", nodeId)
    .execute()) {
    if (ctx.running(sandbox)) continue;
    await releaseDisks(ctx, sandbox);
    released.push(sandbox);
  }
  for (const { id } of await db
    .selectFrom("layers")
    .select("id")
    .where("node_id", "=", nodeId)
    .where("state", "=", "removing")
    .execute())
    await removeLayer(ctx, id);
  // Nothing uses layers that are still `creating`: built-in layers that were not finished.
  for (const { id } of await db
    .selectFrom("layers")
    .select("id")
    .where("node_id", "=", nodeId)
    .where("state", "=", "creating")
    .execute()) {
    await layers.remove(id);
    await db.deleteFrom("layers").where("id", "=", id).execute();
  }
  await settleCopies(ctx);
  return { undone, settled, released };
}

/** Restores missing sealed images from their copies at rest, and removes copies that belong to no layer. */
async function settleCopies({ db, layers, nodeId, log }: VolumeContext): Promise<void> {
  const rows = await db
    .selectFrom("layers")
    .select(["id", "checksum"])
    .where("node_id", "=", nodeId)
    .where("checksum", "is not", null)
    .execute();
  for (const { id, checksum } of rows) {
    if ((await layers.stat(id)) !== undefined) continue;
    await layers.recall(id, checksum!);
    log.warn({ layer: id }, "a missing image was restored from its copy");
  }
  const known = new Set(rows.map(({ checksum }) => checksum));
  for (const digest of await layers.archived()) if (!known.has(digest)) await layers.forget(digest);
}

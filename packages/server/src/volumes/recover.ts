/** Finishes or undoes what an earlier process left half done. Runs once, after running machines were adopted and before any request. */
import type { VolumeContext } from "../layers/context.ts";
import { removeLayer } from "../layers/remove.ts";
import { undoCreate } from "./create-volume.ts";
import { releaseDisks } from "./leases.ts";
import { settleSnapshot } from "./take-snapshot.ts";

export interface RecoveryReport {
  readonly undone: readonly string[];
  readonly settled: readonly string[];
  readonly released: readonly string[];
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
  // Both files of a swap have the same content; which of them is there, its header says.
  for (const { id } of await db
    .selectFrom("layers")
    .select("id")
    .where("node_id", "=", nodeId)
    .where("state", "=", "swapping")
    .execute()) {
    const file = await layers.stat(id);
    if (file === undefined) throw new Error(`layer ${id} is missing`);
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
  // What is left in `creating` belongs to nobody by now: built-in layers and throw-away layers that were never used.
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

/** Sealed images whose files are gone come back from their copies at rest; copies that no layer has are removed. */
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
    log.warn({ layer: id }, "a missing image was brought back from its copy");
  }
  const known = new Set(rows.map(({ checksum }) => checksum));
  for (const digest of await layers.archived()) if (!known.has(digest)) await layers.forget(digest);
}

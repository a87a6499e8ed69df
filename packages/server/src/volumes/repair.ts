/** What an operator does about damage: repairs an image, or drops what cannot be repaired. Safe while the server runs. */
import { CaissonError, type LayerId } from "@caisson/protocol";
import { layerChain, newLayerId, plannedLayer, type VolumeContext } from "../layers/context.ts";
import { clearDamage, markDamaged } from "../layers/damage.ts";
import type { LayerRow, SnapshotRow, VolumeRow } from "../layers/tables.ts";

export type RepairContext = Pick<VolumeContext, "db" | "nodeId" | "layers" | "log">;

export interface Repair {
  /** The marked layer, volume or snapshot. */
  readonly subject: string;
  /** Why it is still damaged. Absent: it is repaired. */
  readonly problem?: string;
}

/**
 * Repairs the marked layers of a volume or snapshot, or one layer:
 * - a missing or damaged image is replaced from its copy at rest;
 * - where the database is older than the images, rows follow the images: a parent that was skipped, a layer that was sealed;
 * - a mark whose cause is gone is removed.
 * @param id of a volume, snapshot or layer
 * @returns one entry for each mark; none when nothing is marked
 * @throws CaissonError `not_found`
 */
export async function repair(ctx: RepairContext, id: string): Promise<readonly Repair[]> {
  for (const layer of (await findSubject(ctx, id)).chain) await followParent(ctx, layer);
  // Shorter now, perhaps without layers that are lost.
  const { owned, chain } = await findSubject(ctx, id);
  const marks = await ctx.db.selectFrom("damages").selectAll().where("node_id", "=", ctx.nodeId).execute();
  const repairs: Repair[] = [];
  // The lowest first: those above read it.
  for (const layer of chain.toReversed()) {
    if (!marks.some(({ subject }) => subject === layer)) continue;
    const problem = await repairLayer(ctx, layer).catch((error: unknown) => (error as Error).message);
    if (problem === undefined) await clearDamage(ctx, layer);
    repairs.push({ subject: layer, ...(problem === undefined ? {} : { problem }) });
  }
  if (owned !== undefined && marks.some(({ subject }) => subject === owned.id)) {
    const left = repairs.some(({ problem }) => problem !== undefined);
    // Its cause is looked for again when it is used, and at the next start.
    if (!left) await clearDamage(ctx, owned.id);
    repairs.push({ subject: owned.id, ...(left ? { problem: "a layer that it needs is still damaged" } : {}) });
  }
  return repairs;
}

/**
 * Drops a volume or snapshot: it is gone at once, and its storage is freed in the background. What shares its layers is not touched.
 * @throws CaissonError `not_found`, `invalid_state` when a sandbox uses the volume
 */
export async function drop(ctx: RepairContext, id: string): Promise<void> {
  const { owned } = await findSubject(ctx, id);
  if (owned === undefined)
    throw new CaissonError(
      "invalid_argument",
      `${id} is a layer. Drop the volumes and snapshots that need it (npm run volumes -- damaged lists them); then it is removed.`,
    );
  await ctx.db.transaction().execute(async (trx) => {
    if ("head" in owned) {
      const lease = await trx.selectFrom("disk_leases").select("sandbox").where("volume", "=", id).executeTakeFirst();
      if (lease !== undefined)
        throw new CaissonError("invalid_state", `Sandbox ${lease.sandbox} uses volume ${id}. End it first.`);
      const now = Date.now();
      await trx
        .updateTable("volumes")
        .set({ state: "deleted", attached_to: null, deleted_at: now, reclaim_at: now })
        .where("id", "=", id)
        .execute();
      // Snapshots that were never finished.
      const unfinished = trx
        .selectFrom("snapshots")
        .select("id")
        .where("volume", "=", id)
        .where("state", "=", "creating");
      await trx
        .updateTable("layers")
        .set({ state: "ready" })
        .where("state", "=", "creating")
        .where("id", "in", (eb) =>
          eb.selectFrom("snapshots").select("next_head").where("volume", "=", id).where("state", "=", "creating"),
        )
        .execute();
      await trx.deleteFrom("volume_slugs").where("owner", "in", unfinished).execute();
      await trx.deleteFrom("snapshots").where("volume", "=", id).where("state", "=", "creating").execute();
    } else {
      await trx.updateTable("volumes").set({ base_snapshot: null }).where("base_snapshot", "=", id).execute();
      await trx.deleteFrom("snapshots").where("id", "=", id).execute();
    }
    await trx.deleteFrom("volume_slugs").where("owner", "=", id).execute();
  });
  await clearDamage(ctx, id);
  ctx.log.info({ id, slug: owned.slug }, "dropped by the operator");
}

/** Marks what `check` found by reading whole images. */
export async function markContent(ctx: RepairContext, layer: LayerId, reason: string): Promise<void> {
  await markDamaged(ctx, { subject: layer, kind: "layer", reason, depth: "content" });
}

async function findSubject(
  { db, nodeId }: RepairContext,
  id: string,
): Promise<{ owned: VolumeRow | SnapshotRow | undefined; chain: readonly LayerId[] }> {
  const of = async (owned: VolumeRow | SnapshotRow | undefined, head: LayerId) => ({
    owned,
    chain: (await layerChain(db, head)).map((row) => row.id),
  });
  const volume = await db
    .selectFrom("volumes")
    .selectAll()
    .where("id", "=", id)
    .where("node_id", "=", nodeId)
    .executeTakeFirst();
  if (volume !== undefined) return of(volume, volume.head);
  const snapshot = await db
    .selectFrom("snapshots")
    .selectAll()
    .where("id", "=", id)
    .where("node_id", "=", nodeId)
    .executeTakeFirst();
  if (snapshot !== undefined) return of(snapshot, snapshot.layer);
  const layer = await db
    .selectFrom("layers")
    .select("id")
    .where("id", "=", id)
    .where("node_id", "=", nodeId)
    .executeTakeFirst();
  if (layer !== undefined) return { owned: undefined, chain: [id] };
  throw new CaissonError("not_found", `There is no volume, snapshot or layer ${id} on this node.`);
}

/** @returns what is still wrong */
async function repairLayer(ctx: RepairContext, id: LayerId): Promise<string | undefined> {
  const { db, layers } = ctx;
  const row = await db.selectFrom("layers").selectAll().where("id", "=", id).executeTakeFirstOrThrow();
  const file = await layers.stat(id).catch(() => undefined);
  if (file === undefined) {
    if (row.checksum === null) return "its image cannot be used, and there is no copy at rest";
    await layers.recall(id, row.checksum);
  } else if (file.parent !== row.parent) {
    return `its image is over ${file.parent ?? "no layer"}, which was never below it in the database`;
  } else if (row.sealed === 0 && file.sealed) await continueOver(ctx, row);
  const now = await db.selectFrom("layers").selectAll().where("id", "=", id).executeTakeFirstOrThrow();
  let faults = await layers.verify(id, now.checksum ?? undefined);
  if (faults.some((fault) => fault.id === id) && now.checksum !== null) {
    await layers.recall(id, now.checksum);
    faults = await layers.verify(id, now.checksum);
  }
  return faults.length === 0 ? undefined : faults.map(({ problem }) => problem).join("; ");
}

/** The image became the copy of a longer chain after the database was saved: it has the content of the layers that it skips. */
async function followParent({ db, layers }: RepairContext, id: LayerId): Promise<void> {
  const file = await layers.stat(id).catch(() => undefined);
  if (file === undefined) return;
  const { parent } = file;
  const [row, ...below] = await layerChain(db, id);
  if (row === undefined || row.parent === parent) return;
  if (parent !== null && !below.some((layer) => layer.id === parent)) return;
  await db
    .updateTable("layers")
    .set({ parent, checksum: null, ...(parent === null ? { formatted_bytes: below.at(-1)!.formatted_bytes } : {}) })
    .where("id", "=", id)
    .execute();
}

/** A snapshot was taken after the database was saved. The volume continues in a new layer over the image that was sealed then. */
async function continueOver(ctx: RepairContext, row: LayerRow): Promise<void> {
  const { db, layers } = ctx;
  const next = newLayerId();
  const volume = await db.selectFrom("volumes").selectAll().where("head", "=", row.id).executeTakeFirst();
  if (volume !== undefined) {
    await db
      .insertInto("layers")
      .values(plannedLayer(ctx, { id: next, parent: row.id, kind: row.kind, org_id: row.org_id }))
      .execute();
    await layers.overlay(next, row.id);
  }
  await db.transaction().execute(async (trx) => {
    await trx.updateTable("layers").set({ sealed: 1 }).where("id", "=", row.id).execute();
    if (volume === undefined) return;
    await trx.updateTable("layers").set({ state: "ready" }).where("id", "=", next).execute();
    await trx.updateTable("volumes").set({ head: next }).where("id", "=", volume.id).execute();
  });
}

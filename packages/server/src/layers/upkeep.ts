/** Background work on layers: keeps chains short and stores copies of sealed layers at rest. */
import { CaissonError } from "@caisson/protocol";
import { checkChain, layerChain, writtenLayers, type VolumeContext } from "./context.ts";
import { findDamaged, guarded } from "./damage.ts";
import type { Collapse } from "./planner.ts";
import { forgetUnused } from "./remove.ts";
import { bytesOfCollapse, recordBytes, storedBytes } from "./stored-bytes.ts";

/**
 * Puts a layer over another ancestor, so that its chain becomes shorter.
 * @returns whether it did; not when a machine could have written to it in the meantime
 */
export async function collapseLayer(
  ctx: VolumeContext,
  { layer, onto }: Collapse,
  signal: AbortSignal,
): Promise<boolean> {
  const { db, layers, log } = ctx;
  const before = await db.selectFrom("layers").selectAll().where("id", "=", layer).executeTakeFirst();
  if (before === undefined || before.state !== "ready") return false;
  const free = await layers.freeBytes();
  const needed = (await layers.stat(layer))?.fileBytes ?? 0;
  if (free - needed < ctx.config.volumes.minFreeDisk) return false;
  await checkChain(ctx, layer);
  const chain = await layerChain(db, layer);
  const between = chain.slice(1, onto === null ? undefined : chain.findIndex(({ id }) => id === onto));
  // The head of a volume counts with its capacity already.
  if (before.sealed === 1 && before.org_id !== null) {
    const more = await bytesOfCollapse(db, between);
    if (more > 0 && (await storedBytes(db, before.org_id)).total + more > ctx.config.volumes.maxBytes) return false;
  }
  const written = await writtenLayers(ctx);
  if (chain.some(({ id }) => written.has(id))) return false;
  const copy = await layers.copy(
    chain.map(({ id }) => id),
    onto,
    { signal },
  );
  const volume = await db.selectFrom("volumes").select("id").where("head", "=", layer).executeTakeFirst();
  const swap = () =>
    ctx.locks.run("graph", async () => {
      const { numUpdatedRows } = await db
        .updateTable("layers")
        .set({ state: "swapping" })
        .where("id", "=", layer)
        .where("state", "=", "ready")
        .where("generation", "=", before.generation)
        .where("sealed", "=", before.sealed)
        .where((eb) =>
          eb.not(
            eb.exists(eb.selectFrom("disk_leases").select("layer").whereRef("disk_leases.layer", "=", "layers.id")),
          ),
        )
        .executeTakeFirstOrThrow();
      if (numUpdatedRows !== 1n) return false;
      await layers.commitCopy(copy);
      await db
        .updateTable("layers")
        .set({
          state: "ready",
          parent: onto,
          checksum: null,
          formatted_bytes: onto === null ? chain.at(-1)!.formatted_bytes : before.formatted_bytes,
        })
        .where("id", "=", layer)
        .execute();
      if (before.sealed === 1) await recordBytes(ctx, db, layer);
      return true;
    });
  try {
    const swapped = await (volume === undefined ? swap() : ctx.locks.run(`volume:${volume.id}`, swap));
    if (swapped) await forgetUnused(ctx, before.checksum);
    if (swapped) log.info({ layer, from: before.parent, onto, depth: chain.length }, "layer collapsed");
    return swapped;
  } finally {
    await layers.discardCopy(copy);
  }
}

/**
 * Stores a copy of one sealed layer at rest. Reading a whole image takes long, so one pass copies only one layer, and only one that is
 * likely to stay.
 * @param patience milliseconds that a layer must have existed
 * @returns whether it did; not when there is none, or it could not be copied
 */
export async function archiveOne(ctx: VolumeContext, patience: number, signal: AbortSignal): Promise<boolean> {
  const { db, layers } = ctx;
  const damaged = (await findDamaged(ctx)).layers;
  const layer = await db
    .selectFrom("layers")
    .select(["id", "parent"])
    .where("node_id", "=", ctx.nodeId)
    .where("sealed", "=", 1)
    .where("held_by", "is", null)
    .where("state", "=", "ready")
    .where("checksum", "is", null)
    .where("created_at", "<", Date.now() - patience)
    .$if(damaged.size > 0, (query) => query.where("id", "not in", [...damaged]))
    .orderBy("created_at")
    .executeTakeFirst();
  if (layer === undefined) return false;
  let checksum: string | undefined;
  const done = await guarded(ctx, { subject: layer.id, kind: "layer" }, async () => {
    // Bytes that are no image any more must not become the copy.
    if ((await layers.stat(layer.id)) === undefined) throw new CaissonError("internal", "its image is missing");
    checksum = await layers.archive(layer.id, { signal });
  });
  if (!done || checksum === undefined) return false;
  const { numUpdatedRows } = await db
    .updateTable("layers")
    .set({ checksum })
    .where("id", "=", layer.id)
    .where("state", "=", "ready")
    .where("parent", layer.parent === null ? "is" : "=", layer.parent)
    .executeTakeFirstOrThrow();
  if (numUpdatedRows !== 1n) await forgetUnused(ctx, checksum);
  return true;
}

/** Copies at rest: removes those that belong to no layer after a time, and makes missing ones again. */
import type { VolumeContext } from "./context.ts";
import { markDamaged } from "./damage.ts";
import { forgetUnused } from "./remove.ts";

/**
 * Compares the copies at rest with the layers of the database. A copy that belongs to no layer is kept for `volumes.keepUnknownCopies`:
 * the database may be a restored one, and older than the copy.
 */
export async function settleCopies(ctx: VolumeContext, signal: AbortSignal): Promise<void> {
  const { db, layers, nodeId, log } = ctx;
  const archived = new Set(await layers.archived());
  const rows = await db
    .selectFrom("layers")
    .select(["id", "checksum"])
    .where("node_id", "=", nodeId)
    .where("checksum", "is not", null)
    .execute();
  const known = new Set(rows.map(({ checksum }) => checksum));
  const noted = await db.selectFrom("unknown_copies").selectAll().where("node_id", "=", nodeId).execute();
  for (const { digest, found_at } of noted) {
    const unknown = archived.has(digest) && !known.has(digest);
    if (unknown && found_at + ctx.config.volumes.keepUnknownCopies * 1000 > Date.now()) continue;
    if (unknown) {
      await layers.forget(digest);
      log.info({ copy: digest }, "a copy at rest that belongs to no layer was removed");
    }
    await db.deleteFrom("unknown_copies").where("node_id", "=", nodeId).where("digest", "=", digest).execute();
  }
  const before = new Set(noted.map(({ digest }) => digest));
  const found = [...archived].filter((digest) => !known.has(digest) && !before.has(digest));
  for (const digest of found)
    await db.insertInto("unknown_copies").values({ node_id: nodeId, digest, found_at: Date.now() }).execute();
  if (found.length > 0)
    log.warn(
      { copies: found, keptSeconds: ctx.config.volumes.keepUnknownCopies },
      "copies at rest belong to no layer in the database; they are kept for a time",
    );
  for (const { id, checksum } of rows) if (!archived.has(checksum!)) await copyAgain(ctx, id, checksum!, signal);
}

/** The copy of a sealed layer is missing. Its image must still have the bytes that were sealed. */
async function copyAgain(ctx: VolumeContext, id: string, checksum: string, signal: AbortSignal): Promise<void> {
  const { layers, log } = ctx;
  if (signal.aborted || (await layers.stat(id).catch(() => undefined)) === undefined) return;
  const digest = await layers.archive(id, { signal });
  if (digest === checksum) {
    log.warn({ layer: id }, "a missing copy at rest was made again");
    return;
  }
  await forgetUnused(ctx, digest);
  await markDamaged(ctx, {
    subject: id,
    kind: "layer",
    reason: "its bytes are not those that were sealed, and its copy at rest is missing",
    depth: "content",
  });
}

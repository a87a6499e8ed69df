/**
 * Deletes in two steps: the owner no longer sees the volume at once, and the janitor frees its storage later. Until then the operator
 * can restore it.
 */
import { CaissonError } from "@caisson/protocol";
import { waitForEnd, type VolumeContext } from "../layers/context.ts";
import { verdictOn } from "../layers/damage.ts";
import { recordBytes } from "../layers/stored-bytes.ts";
import type { VolumeRow } from "../layers/tables.ts";
import { requireSnapshot, requireVolume } from "./lookup.ts";
import { checkSlug, takeSlug } from "./slug.ts";

/** @throws CaissonError `not_found`, `invalid_state` (VOLUME_ATTACHED) */
export async function deleteVolume(ctx: VolumeContext, orgId: string, idOrSlug: string): Promise<void> {
  const found = await requireVolume(ctx.db, orgId, idOrSlug);
  const { id } = found;
  await waitForEnd(ctx, [found]);
  await ctx.locks.run(`volume:${id}`, async () => {
    const volume = await requireVolume(ctx.db, orgId, id);
    const now = Date.now();
    await ctx.db.transaction().execute(async (trx) => {
      const { numUpdatedRows } = await trx
        .updateTable("volumes")
        .set({ state: "deleted", deleted_at: now, reclaim_at: now + ctx.config.volumes.reclaimAfter * 1000 })
        .where("id", "=", id)
        .where("state", "=", "ready")
        .where("attached_to", "is", null)
        .executeTakeFirstOrThrow();
      if (numUpdatedRows !== 1n) throw attached(volume);
      // A damaged image is deleted like any other.
      await recordBytes(ctx, trx, volume.head).catch((error: unknown) => {
        if (verdictOn(error) === "other") throw error;
      });
      await trx.deleteFrom("volume_slugs").where("owner", "=", id).execute();
    });
    ctx.log.info({ volume: id, slug: volume.slug }, "volume deleted");
  });
}

/**
 * Deletes a snapshot at once. Volumes that were created from it keep its data.
 * @returns its id
 * @throws CaissonError `not_found`
 */
export async function deleteSnapshot(ctx: VolumeContext, orgId: string, idOrSlug: string): Promise<string> {
  const { id, slug } = await requireSnapshot(ctx.db, orgId, idOrSlug);
  await ctx.db.transaction().execute(async (trx) => {
    await trx.updateTable("volumes").set({ base_snapshot: null }).where("base_snapshot", "=", id).execute();
    await trx.deleteFrom("volume_slugs").where("owner", "=", id).execute();
    await trx.deleteFrom("snapshots").where("id", "=", id).execute();
  });
  ctx.log.info({ snapshot: id, slug }, "snapshot deleted");
  return id;
}

/**
 * For the operator: restores a deleted volume with its content.
 * @param slug a new slug, when the former one is in use by now
 * @throws CaissonError `not_found` when it was never deleted or its storage was freed, `already_exists`
 */
export async function restoreVolume(
  ctx: Pick<VolumeContext, "db" | "log">,
  id: string,
  slug?: string,
): Promise<VolumeRow> {
  const volume = await ctx.db
    .selectFrom("volumes")
    .selectAll()
    .where("id", "=", id)
    .where("state", "=", "deleted")
    .executeTakeFirst();
  if (volume === undefined)
    throw new CaissonError(
      "not_found",
      `The volume ${id} cannot be restored: it was never deleted, or its storage was already freed.`,
    );
  const restored: VolumeRow = {
    ...volume,
    state: "ready",
    slug: checkSlug(slug ?? volume.slug),
    deleted_at: null,
    reclaim_at: null,
  };
  await ctx.db.transaction().execute(async (trx) => {
    await takeSlug(trx, volume.org_id, restored.slug, id);
    const { numUpdatedRows } = await trx
      .updateTable("volumes")
      .set({ state: "ready", slug: restored.slug, deleted_at: null, reclaim_at: null })
      .where("id", "=", id)
      .where("state", "=", "deleted")
      .executeTakeFirstOrThrow();
    if (numUpdatedRows !== 1n)
      throw new CaissonError("not_found", `The volume ${id} cannot be restored: its storage was just freed.`);
  });
  ctx.log.info({ volume: id, slug: restored.slug }, "volume restored");
  return restored;
}

export function attached(volume: Pick<VolumeRow, "slug" | "attached_to">): CaissonError {
  const by = volume.attached_to === null ? "a sandbox" : `sandbox ${volume.attached_to}`;
  return new CaissonError(
    "invalid_state",
    `The volume \`${volume.slug}\` is in use by ${by}. Only one sandbox at a time can use a volume. End that sandbox first.`,
    { wireCode: "VOLUME_ATTACHED" },
  );
}

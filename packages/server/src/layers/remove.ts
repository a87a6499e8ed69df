/** Removes layers that nothing uses, and copies at rest that belong to no layer. */
import { CaissonError, type LayerId } from "@caisson/protocol";
import type { VolumeContext } from "./context.ts";
import { clearDamage } from "./damage.ts";

/** Removes a copy at rest, unless a layer has the same content: all empty overlays of one parent have. */
export async function forgetUnused(ctx: VolumeContext, checksum: string | null): Promise<void> {
  if (checksum === null) return;
  const user = await ctx.db
    .selectFrom("layers")
    .select("id")
    .where("node_id", "=", ctx.nodeId)
    .where("checksum", "=", checksum)
    .executeTakeFirst();
  if (user === undefined) await ctx.layers.forget(checksum);
}

/** Removes a layer if nothing uses it. @returns whether it did */
export async function removeLayer(ctx: VolumeContext, id: LayerId): Promise<boolean> {
  return ctx.locks
    .run(id, async () => {
      const claimed = await ctx.db.transaction().execute(async (trx) => {
        const uses = await Promise.all([
          trx.selectFrom("layers").select("id").where("parent", "=", id).executeTakeFirst(),
          trx.selectFrom("volumes").select("id").where("head", "=", id).executeTakeFirst(),
          trx
            .selectFrom("snapshots")
            .select("id")
            .where((eb) => eb.or([eb("layer", "=", id), eb("next_head", "=", id)]))
            .executeTakeFirst(),
          trx.selectFrom("disk_leases").select("sandbox").where("layer", "=", id).executeTakeFirst(),
        ]);
        if (uses.some((use) => use !== undefined)) return false;
        const { numUpdatedRows } = await trx
          .updateTable("layers")
          .set({ state: "removing" })
          .where("id", "=", id)
          .where("state", "in", ["ready", "removing"])
          .executeTakeFirstOrThrow();
        return numUpdatedRows === 1n;
      });
      if (!claimed) return false;
      const row = await ctx.db.selectFrom("layers").select("checksum").where("id", "=", id).executeTakeFirst();
      await ctx.layers.remove(id);
      await ctx.db.deleteFrom("layers").where("id", "=", id).execute();
      await clearDamage(ctx, id);
      await forgetUnused(ctx, row?.checksum ?? null);
      return true;
    })
    .catch((error: unknown) => {
      ctx.log.error(
        { err: error, layer: id, cause: error instanceof CaissonError ? error.code : undefined },
        "a layer could not be removed; it will be tried again",
      );
      return false;
    });
}

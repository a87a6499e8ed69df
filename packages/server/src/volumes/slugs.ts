/** The shared namespace of volumes and snapshots. */
import { CaissonError } from "@caisson/protocol";
import type { VolumeTransaction } from "../layers/tables.ts";

/** @throws CaissonError `already_exists` (SLUG_ALREADY_IN_USE) */
export async function takeSlug(trx: VolumeTransaction, orgId: string, slug: string, owner: string): Promise<void> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto("volume_slugs")
    .values({ org_id: orgId, slug, owner })
    .onConflict((conflict) => conflict.columns(["org_id", "slug"]).doNothing())
    .executeTakeFirstOrThrow();
  if (numInsertedOrUpdatedRows !== 1n) {
    throw new CaissonError(
      "already_exists",
      `A volume or snapshot named \`${slug}\` exists already; choose another slug or delete it.`,
      { wireCode: "SLUG_ALREADY_IN_USE" },
    );
  }
}

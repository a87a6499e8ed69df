/** Names of volumes and snapshots. The two share one namespace in an organisation. */
import { CaissonError } from "@caisson/protocol";
import type { VolumeTransaction } from "../layers/tables.ts";

/** @throws CaissonError `invalid_argument` */
export function checkSlug(slug: string): string {
  // No `--` at positions 3 and 4: there it means an encoded international domain name.
  if (!/^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])$/.test(slug) || slug.startsWith("--", 2)) {
    throw new CaissonError(
      "invalid_argument",
      `${JSON.stringify(slug.slice(0, 64))} is not a valid slug. Use 2 to 32 characters from a-z, 0-9 and "-". The first and the last one must not be "-", and the third and the fourth one must not both be "-".`,
    );
  }
  return slug;
}

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
      `A volume or snapshot with the slug \`${slug}\` already exists. Choose another slug, or delete that volume or snapshot.`,
      { wireCode: "SLUG_ALREADY_IN_USE" },
    );
  }
}

import type { Kysely } from "kysely";

/** Events of a sandbox are always looked for together with their organisation. */
export async function sandboxIndex(db: Kysely<unknown>): Promise<void> {
  await db.schema.dropIndex("audit_sandbox").ifExists().execute();
  await db.schema
    .createIndex("audit_org_sandbox")
    .ifNotExists()
    .on("audit_events")
    .columns(["org_id", "sandbox_id", "id"])
    .execute();
}

import type { Kysely } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("revision_contents")
    .addColumn("revision_id", "text", (column) => column.primaryKey())
    .addColumn("node_id", "text", (column) => column.notNull())
    .addColumn("tree", "text", (column) => column.notNull())
    .addColumn("allow_net", "text")
    .addColumn("sealed_secrets", "text")
    .execute();
}

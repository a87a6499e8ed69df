import type { Kysely } from "kysely";

/** Names at which ports of sandboxes are exposed. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("previews")
    .addColumn("label", "text", (column) => column.primaryKey())
    .addColumn("sandbox_id", "text", (column) => column.notNull().references("sandboxes.id").onDelete("cascade"))
    .addColumn("port", "integer")
    .addColumn("pid", "bigint")
    .execute();
  await db.schema.createIndex("previews_sandbox").on("previews").column("sandbox_id").execute();
}

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

export async function scaling(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("app_scaling")
    .ifNotExists()
    .addColumn("app_id", "text", (column) => column.primaryKey().references("apps.id").onDelete("cascade"))
    .addColumn("min_instances", "integer")
    .addColumn("max_instances", "integer")
    .addColumn("concurrency", "integer")
    .addColumn("target", "double precision")
    .execute();
}

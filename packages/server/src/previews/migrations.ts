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

/** Protection of names, names that have ended, and the log of visits. */
export async function visits(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("previews").addColumn("access", "text").execute();
  await db.schema
    .createTable("ended_previews")
    .addColumn("label", "text", (column) => column.primaryKey())
    .addColumn("ended_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("ended_previews_time").on("ended_previews").column("ended_at").execute();
  await db.schema
    .createTable("preview_visits")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull().references("orgs.id").onDelete("cascade"))
    .addColumn("workload_id", "text", (column) => column.notNull())
    .addColumn("visit", "text", (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex("preview_visits_org")
    .on("preview_visits")
    .columns(["org_id", "workload_id", "id"])
    .execute();
  await db.schema.createIndex("preview_visits_org_time").on("preview_visits").columns(["org_id", "id"]).execute();
}

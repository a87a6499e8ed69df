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

export async function crons(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("revision_crons")
    .ifNotExists()
    .addColumn("revision_id", "text", (column) => column.notNull().references("revisions.id").onDelete("cascade"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("schedule", "text", (column) => column.notNull())
    .addColumn("backoff", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("revision_crons_key", ["revision_id", "name"])
    .execute();
  await db.schema
    .createTable("cron_jobs")
    .ifNotExists()
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("node_id", "text", (column) => column.notNull())
    .addColumn("schedule", "text", (column) => column.notNull())
    .addColumn("backoff", "text", (column) => column.notNull())
    .addColumn("next_at", "bigint", (column) => column.notNull())
    .addColumn("attempt", "integer", (column) => column.notNull())
    .addColumn("tick_at", "bigint", (column) => column.notNull())
    .addColumn("started_at", "bigint")
    .addColumn("last_started_at", "bigint")
    .addColumn("last_ended_at", "bigint")
    .addColumn("last_error", "text")
    .addPrimaryKeyConstraint("cron_jobs_key", ["app_id", "name"])
    .execute();
}

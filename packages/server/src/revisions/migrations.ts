import type { Kysely } from "kysely";

/** SQLite runs no migration in a transaction: everything can be repeated after a crash. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("revisions")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull())
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("failure_reason", "text")
    .addColumn("failure_message", "text")
    .addColumn("labels", "text", (column) => column.notNull())
    .addColumn("config", "text", (column) => column.notNull())
    .addColumn("layers", "text", (column) => column.notNull())
    .addColumn("sealed_env", "text", (column) => column.notNull())
    .addColumn("production", "integer", (column) => column.notNull())
    .addColumn("preview", "integer", (column) => column.notNull())
    .addColumn("branch", "text")
    .addColumn("retention", "text", (column) => column.notNull())
    .addColumn("progress", "text", (column) => column.notNull())
    .addColumn("files", "integer")
    .addColumn("bytes", "bigint")
    .addColumn("manifest", "text")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("cancellation_requested_at", "bigint")
    .addColumn("build_finished_at", "bigint")
    .addColumn("used_at", "bigint", (column) => column.notNull())
    .addColumn("disabled_at", "bigint")
    .addColumn("deleted_at", "bigint")
    .addColumn("released_at", "bigint")
    .execute();
  const index = (name: string, columns: string[]) =>
    db.schema.createIndex(name).ifNotExists().on("revisions").columns(columns).execute();
  await index("revisions_app", ["app_id", "created_at", "id"]);
  await index("revisions_status", ["status", "created_at"]);
  await index("revisions_used", ["used_at"]);
  await index("revisions_deleted", ["deleted_at", "released_at"]);
  await timelines(db);
  await logs(db);
}

async function timelines(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("timelines")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull())
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("key", "text", (column) => column.notNull())
    .addColumn("slug", "text", (column) => column.notNull())
    .addColumn("partition", "text", (column) => column.notNull())
    .addColumn("context", "text", (column) => column.notNull())
    .addColumn("revision_id", "text", (column) => column.notNull().references("revisions.id").onDelete("cascade"))
    .addColumn("pinned", "integer", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("changed_at", "bigint", (column) => column.notNull())
    .addUniqueConstraint("timelines_key", ["app_id", "key"])
    .execute();
  await db.schema.createIndex("timelines_revision").ifNotExists().on("timelines").column("revision_id").execute();
  await db.schema
    .createTable("timeline_history")
    .ifNotExists()
    .addColumn("timeline_id", "text", (column) => column.notNull().references("timelines.id").onDelete("cascade"))
    .addColumn("seq", "integer", (column) => column.notNull())
    .addColumn("revision_id", "text", (column) => column.notNull())
    .addColumn("at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("timeline_history_key", ["timeline_id", "seq"])
    .execute();
}

async function logs(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("build_logs")
    .ifNotExists()
    .addColumn("revision_id", "text", (column) => column.notNull().references("revisions.id").onDelete("cascade"))
    .addColumn("seq", "integer", (column) => column.notNull())
    .addColumn("at", "bigint", (column) => column.notNull())
    .addColumn("level", "text", (column) => column.notNull())
    .addColumn("step", "text", (column) => column.notNull())
    .addColumn("timeline", "text")
    .addColumn("message", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("build_logs_key", ["revision_id", "seq"])
    .execute();
  await db.schema
    .createTable("runtime_logs")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull())
    .addColumn("app_id", "text", (column) => column.notNull())
    .addColumn("revision_id", "text")
    .addColumn("at", "bigint", (column) => column.notNull())
    .addColumn("level", "integer", (column) => column.notNull())
    .addColumn("message", "text", (column) => column.notNull())
    .addColumn("region", "text")
    .addColumn("trace_id", "text")
    .addColumn("span_id", "text")
    .execute();
  await db.schema
    .createIndex("runtime_logs_app")
    .ifNotExists()
    .on("runtime_logs")
    .columns(["app_id", "at", "id"])
    .execute();
  await db.schema
    .createIndex("runtime_logs_arrival")
    .ifNotExists()
    .on("runtime_logs")
    .columns(["app_id", "id"])
    .execute();
  await db.schema.createIndex("runtime_logs_org").ifNotExists().on("runtime_logs").columns(["org_id", "id"]).execute();
  await db.schema
    .createTable("runtime_log_minutes")
    .ifNotExists()
    .addColumn("org_id", "text", (column) => column.notNull())
    .addColumn("minute", "bigint", (column) => column.notNull())
    .addColumn("bytes", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("runtime_log_minutes_key", ["org_id", "minute"])
    .execute();
}

export async function traffic(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("timeline_traffic")
    .ifNotExists()
    .addColumn("timeline_id", "text", (column) => column.notNull().references("timelines.id").onDelete("cascade"))
    .addColumn("revision_id", "text", (column) => column.notNull().references("revisions.id").onDelete("cascade"))
    .addColumn("weight", "integer", (column) => column.notNull())
    .addPrimaryKeyConstraint("timeline_traffic_key", ["timeline_id", "revision_id"])
    .execute();
  await db.schema
    .createIndex("timeline_traffic_revision")
    .ifNotExists()
    .on("timeline_traffic")
    .column("revision_id")
    .execute();
}

import { sql, type Kysely } from "kysely";

/** The first tables. Types are chosen to mean the same on SQLite and PostgreSQL. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("orgs")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("slug", "text", (column) => column.notNull().unique())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("concurrent_sandboxes", "integer")
    .execute();
  await db.schema
    .createTable("tokens")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull().references("orgs.id").onDelete("cascade"))
    .addColumn("hash", "text", (column) => column.notNull().unique())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("sealed", "text")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("revoked_at", "bigint")
    .execute();
  await db.schema
    .createTable("sandboxes")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull().references("orgs.id"))
    .addColumn("phase", "text", (column) => column.notNull())
    .addColumn("region", "text", (column) => column.notNull())
    .addColumn("labels", "text", (column) => column.notNull())
    .addColumn("memory", "integer", (column) => column.notNull())
    .addColumn("session", "integer", (column) => column.notNull())
    .addColumn("allow_net", "text")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("stop_at", "bigint")
    .addColumn("stopped_at", "bigint")
    .addColumn("reason", "text")
    .execute();
  await db.schema.createIndex("sandboxes_org").on("sandboxes").columns(["org_id", "created_at"]).execute();
  await db.schema.createIndex("sandboxes_phase").on("sandboxes").columns(["phase", "stop_at"]).execute();
  await db.schema
    .createTable("secrets")
    .addColumn("sandbox_id", "text", (column) => column.notNull().references("sandboxes.id").onDelete("cascade"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("placeholder", "text", (column) => column.notNull())
    .addColumn("rules", "text", (column) => column.notNull())
    .addColumn("sealed", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("secrets_key", ["sandbox_id", "name"])
    .execute();
  await db.schema
    .createTable("audit_events")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull())
    .addColumn("sandbox_id", "text", (column) => column.notNull())
    .addColumn("at", "bigint", (column) => column.notNull())
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("host", "text", (column) => column.notNull())
    .addColumn("port", "integer", (column) => column.notNull())
    .addColumn("verdict", "text", (column) => column.notNull())
    .addColumn("rule", "text", (column) => column.notNull())
    .addColumn("event", "text", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("audit_org").on("audit_events").columns(["org_id", "id"]).execute();
  await db.schema.createIndex("audit_sandbox").on("audit_events").columns(["sandbox_id", "id"]).execute();
  await db.schema
    .createTable("usage")
    .addColumn("sandbox_id", "text", (column) => column.primaryKey().references("sandboxes.id").onDelete("cascade"))
    .addColumn("org_id", "text", (column) => column.notNull())
    .addColumn("cpu_micros", "bigint", (column) => column.notNull().defaultTo(sql`0`))
    .addColumn("memory_byte_seconds", "bigint", (column) => column.notNull().defaultTo(sql`0`))
    .addColumn("disk_byte_seconds", "bigint", (column) => column.notNull().defaultTo(sql`0`))
    .addColumn("bytes_out", "bigint", (column) => column.notNull().defaultTo(sql`0`))
    .addColumn("bytes_in", "bigint", (column) => column.notNull().defaultTo(sql`0`))
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .execute();
}

/** Tokens that expire. */
export async function expiry(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("tokens").addColumn("expires_at", "bigint").execute();
}

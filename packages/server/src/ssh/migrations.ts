import type { Kysely } from "kysely";

/** User names of SSH, as their hashes. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("ssh_users")
    .addColumn("user_hash", "text", (column) => column.primaryKey())
    .addColumn("sandbox_id", "text", (column) => column.notNull().references("sandboxes.id").onDelete("cascade"))
    .execute();
  await db.schema.createIndex("ssh_users_sandbox").on("ssh_users").column("sandbox_id").execute();
}

/** Public keys that organisations ask SSH clients for. */
export async function keys(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("ssh_keys")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull().references("orgs.id").onDelete("cascade"))
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("public_key", "text", (column) => column.notNull())
    .addColumn("fingerprint", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addUniqueConstraint("ssh_keys_fingerprint", ["org_id", "fingerprint"])
    .execute();
}

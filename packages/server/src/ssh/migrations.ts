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

import type { Kysely } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("app_domains")
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("domain", "text", (column) => column.notNull())
    .addColumn("token", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("verified_at", "bigint")
    .addPrimaryKeyConstraint("app_domains_key", ["app_id", "domain"])
    .execute();
  await db.schema
    .createIndex("app_domains_verified")
    .unique()
    .on("app_domains")
    .column("domain")
    .where("verified_at" as never, "is not", null)
    .execute();
}

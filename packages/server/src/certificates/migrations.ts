import type { Kysely } from "kysely";

/** Certificates from an authority outside, and our account with it. Keys are sealed. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("acme_accounts")
    .addColumn("directory", "text", (column) => column.primaryKey())
    .addColumn("sealed_key", "text", (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("public_certificates")
    .addColumn("host", "text", (column) => column.primaryKey())
    .addColumn("sealed", "text", (column) => column.notNull())
    .addColumn("not_before", "bigint", (column) => column.notNull())
    .addColumn("not_after", "bigint", (column) => column.notNull())
    .execute();
}

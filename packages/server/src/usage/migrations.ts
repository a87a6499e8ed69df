import type { Kysely } from "kysely";

/** What organisations used in each month. */
export async function months(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("usage_months")
    .addColumn("org_id", "text", (column) => column.notNull().references("orgs.id").onDelete("cascade"))
    .addColumn("month", "text", (column) => column.notNull())
    .addColumn("workloads", "bigint", (column) => column.notNull())
    .addColumn("cpu_micros", "bigint", (column) => column.notNull())
    .addColumn("memory_mib_seconds", "bigint", (column) => column.notNull())
    .addColumn("disk_mib_seconds", "bigint", (column) => column.notNull())
    .addColumn("bytes_out", "bigint", (column) => column.notNull())
    .addColumn("bytes_in", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("usage_months_key", ["org_id", "month"])
    .execute();
}

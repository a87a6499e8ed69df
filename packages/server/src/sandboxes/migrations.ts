import type { Kysely } from "kysely";
import { labelRows, type LabelRow } from "./label-index.ts";

/** Which node a sandbox runs on. Null: written before there were nodes. */
export async function nodes(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("sandboxes").addColumn("node_id", "text").execute();
  await db.schema.createIndex("sandboxes_node").on("sandboxes").columns(["node_id", "phase"]).execute();
}

/** Hosts that are passed through, and authorities of hosts. */
export async function network(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("sandboxes").addColumn("network", "text").execute();
}

type Labelled = {
  sandboxes: { id: string; org_id: string; labels: string; created_at: number };
  sandbox_labels: LabelRow;
};

/** Rows of `sandbox_labels` in one INSERT: SQLite allows 32766 parameters, a row has four. */
const rowsAtOnce = 500;

/**
 * Indexes for lists, limits and retention, and an index of labels. SQLite runs no migration in a transaction: until the last statement,
 * everything can be repeated after a crash.
 */
export async function bounds(db: Kysely<unknown>): Promise<void> {
  await db.schema.dropIndex("sandboxes_org").ifExists().execute();
  const index = (name: string, columns: string[]) =>
    db.schema.createIndex(name).ifNotExists().on("sandboxes").columns(columns).execute();
  await index("sandboxes_org_newest", ["org_id", "created_at", "id"]);
  await index("sandboxes_org_phase", ["org_id", "phase", "stopped_at", "id"]);
  await db.schema
    .createTable("sandbox_labels")
    .ifNotExists()
    .addColumn("org_id", "text", (column) => column.notNull())
    .addColumn("filter", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("sandbox_id", "text", (column) => column.notNull().references("sandboxes.id").onDelete("cascade"))
    .addPrimaryKeyConstraint("sandbox_labels_key", ["org_id", "filter", "created_at", "sandbox_id"])
    .execute();
  await db.schema
    .createIndex("sandbox_labels_sandbox")
    .ifNotExists()
    .on("sandbox_labels")
    .column("sandbox_id")
    .execute();
  await indexLabels(db.withTables<Labelled>());
  await db.schema
    .alterTable("sandboxes")
    .addColumn("writable_bytes", "bigint", (column) => column.notNull().defaultTo(0))
    .execute();
}

/** Enters the labels of sandboxes that exist already. */
async function indexLabels(db: Kysely<Labelled>): Promise<void> {
  for (let after = ""; ;) {
    const rows = await db
      .selectFrom("sandboxes")
      .select(["id", "org_id", "labels", "created_at"])
      .where("id", ">", after)
      .orderBy("id")
      .limit(rowsAtOnce)
      .execute();
    const entries = rows.flatMap((row) => labelRows(row, JSON.parse(row.labels) as Record<string, string>));
    for (let done = 0; done < entries.length; done += rowsAtOnce)
      await db
        .insertInto("sandbox_labels")
        .values(entries.slice(done, done + rowsAtOnce))
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.id;
  }
}

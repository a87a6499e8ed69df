import type { Kysely } from "kysely";

/** Which node a sandbox runs on. Null: written before there were nodes. */
export async function nodes(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("sandboxes").addColumn("node_id", "text").execute();
  await db.schema.createIndex("sandboxes_node").on("sandboxes").columns(["node_id", "phase"]).execute();
}

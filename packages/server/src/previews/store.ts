/** Names in the database, so that a sandbox keeps its addresses when the server restarts. */
import type { Selectable } from "kysely";
import type { PreviewDatabase, PreviewsTable } from "./tables.ts";

export type PreviewRow = Selectable<PreviewsTable>;

export class PreviewStore {
  readonly #db: PreviewDatabase;

  constructor(db: PreviewDatabase) {
    this.#db = db;
  }

  of(sandboxId: string): Promise<PreviewRow[]> {
    return this.#db.selectFrom("previews").selectAll().where("sandbox_id", "=", sandboxId).execute();
  }

  async insert(label: string, sandboxId: string): Promise<void> {
    await this.#db.insertInto("previews").values({ label, sandbox_id: sandboxId, port: null, pid: null }).execute();
  }

  async bind(label: string, target: Pick<PreviewRow, "port" | "pid">): Promise<void> {
    await this.#db.updateTable("previews").set(target).where("label", "=", label).execute();
  }

  async removeOf(sandboxId: string): Promise<void> {
    await this.#db.deleteFrom("previews").where("sandbox_id", "=", sandboxId).execute();
  }
}

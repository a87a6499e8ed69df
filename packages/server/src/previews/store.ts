/** Names in the database, so that a sandbox keeps its addresses when the server restarts. */
import type { Selectable } from "kysely";
import { inBatches } from "../kernel/database/batches.ts";
import type { PreviewDatabase, PreviewsTable } from "./tables.ts";

export type PreviewRow = Selectable<PreviewsTable>;

/** Rows in one DELETE. */
const batchSize = 500;

export class PreviewStore {
  readonly #db: PreviewDatabase;

  constructor(db: PreviewDatabase) {
    this.#db = db;
  }

  of(sandboxId: string): Promise<PreviewRow[]> {
    return this.#db.selectFrom("previews").selectAll().where("sandbox_id", "=", sandboxId).execute();
  }

  async insert(label: string, sandboxId: string): Promise<void> {
    await this.#db
      .insertInto("previews")
      .values({ label, sandbox_id: sandboxId, port: null, pid: null, access: null })
      .execute();
  }

  async update(label: string, change: Partial<Pick<PreviewRow, "port" | "pid" | "access">>): Promise<void> {
    await this.#db.updateTable("previews").set(change).where("label", "=", label).execute();
  }

  /** Idempotent: the names are noted as ended first, so a crash in between loses nothing. */
  async removeOf(sandboxId: string): Promise<void> {
    const rows = await this.of(sandboxId);
    if (rows.length === 0) return;
    await this.#db
      .insertInto("ended_previews")
      .values(rows.map(({ label }) => ({ label, ended_at: Date.now() })))
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    await this.#db.deleteFrom("previews").where("sandbox_id", "=", sandboxId).execute();
  }

  async hasEnded(label: string): Promise<boolean> {
    const query = this.#db.selectFrom("ended_previews").select("label").where("label", "=", label);
    return (await query.executeTakeFirst()) !== undefined;
  }

  /** @param at milliseconds since the epoch */
  async forgetEnded(at: number, signal: AbortSignal): Promise<void> {
    await inBatches(async () => {
      const { numDeletedRows } = await this.#db
        .deleteFrom("ended_previews")
        .where("label", "in", (eb) =>
          eb.selectFrom("ended_previews").select("label").where("ended_at", "<", at).limit(batchSize),
        )
        .executeTakeFirstOrThrow();
      return Number(numDeletedRows) === batchSize;
    }, signal);
  }
}

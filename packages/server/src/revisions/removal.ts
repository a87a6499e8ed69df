/**
 * The ends of revisions: deleted by a client, by retention, or with their app. A deleted revision keeps its row for a while, so that
 * clients can see what happened to it.
 */
import type { RevisionStatus } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import type { Logger } from "pino";
import { inBatches } from "../kernel/database/batches.ts";
import { isLive, revisionNotFound } from "./store.ts";
import type { RevisionDatabase, RevisionRow } from "./tables.ts";

export interface RemovalOptions {
  readonly db: RevisionDatabase;
  readonly lockRows: boolean;
  readonly log: Logger;
  /** Gives back what a revision holds. Idempotent. */
  readonly release: (revision: RevisionRow) => Promise<void>;
}

export interface RetentionPolicy {
  /** Milliseconds without use after which a revision is disabled, and after that deleted. */
  readonly disableAfter: number;
  readonly deleteAfter: number;
}

/** Milliseconds for which the row of a deleted revision is kept. */
const keepDeleted = 30 * 24 * 3600_000;
/** Rows that one pass of the retention looks at, and rows in one DELETE. */
const batch = 200;

const ended: readonly RevisionStatus[] = ["succeeded", "failed", "skipped"];

/** Timelines whose revisions are active, and stay: all but previews that are not pinned. */
function active(db: RevisionDatabase) {
  return db.selectFrom("timelines").where((eb) => eb.or([eb("slug", "!=", "preview"), eb("pinned", "=", 1)]));
}

export class Removal {
  readonly #options: RemovalOptions;

  constructor(options: RemovalOptions) {
    this.#options = options;
  }

  /** @throws CaissonError `not_found`, `invalid_state` (REVISION_BUILDING, REVISION_ACTIVE) */
  async delete(id: string): Promise<void> {
    const row = await this.#mark(id);
    await this.#release(row).catch((error: unknown) => this.#failed(row, error));
  }

  /** Deletes the oldest revision of an app that may be deleted. @returns whether there was one */
  async deleteOldest(appId: string): Promise<boolean> {
    const { db } = this.#options;
    const row = await db
      .selectFrom("revisions")
      .select("id")
      .where("app_id", "=", appId)
      .where("deleted_at", "is", null)
      .where("status", "in", ended)
      .where("retention", "=", "auto")
      .where("id", "not in", active(db).where("app_id", "=", appId).select("revision_id"))
      .where("id", "not in", db.selectFrom("timeline_traffic").select("revision_id"))
      .orderBy("created_at")
      .orderBy("id")
      .limit(1)
      .executeTakeFirst();
    if (row === undefined) return false;
    await this.delete(row.id);
    return true;
  }

  /**
   * Gives back what all revisions of an app hold, whatever their state, and removes their rows. Can be repeated.
   * @throws the reason of the signal
   */
  async deleteAllOf(appId: string, signal: AbortSignal): Promise<void> {
    const { db } = this.#options;
    await db
      .updateTable("revisions")
      .set({ deleted_at: Date.now(), status: "failed", failure_reason: "cancelled" })
      .where("app_id", "=", appId)
      .where("status", "in", ["queued", "building"])
      .execute();
    await inBatches(async () => {
      const rows = await db.selectFrom("revisions").selectAll().where("app_id", "=", appId).limit(batch).execute();
      for (const row of rows) {
        if (row.released_at === null) await this.#options.release(row);
        await db.deleteFrom("revisions").where("id", "=", row.id).execute();
      }
      return rows.length === batch;
    }, signal);
    await inBatches(async () => {
      const { numDeletedRows } = await db
        .deleteFrom("runtime_logs")
        .where("id", "in", (eb) =>
          eb
            .selectFrom("runtime_logs")
            .select("id")
            .where("app_id", "=", appId)
            .limit(batch * 5),
        )
        .executeTakeFirstOrThrow();
      return Number(numDeletedRows) === batch * 5;
    }, signal);
    // Not done: the row of the app must stay, since the rows of its revisions would go with it.
    signal.throwIfAborted();
  }

  /** Disables what nobody uses, deletes what was disabled long ago, and completes deletions. To be called regularly. */
  async care({ disableAfter, deleteAfter }: RetentionPolicy, signal: AbortSignal): Promise<void> {
    const { db } = this.#options;
    const now = Date.now();
    const idle = db
      .selectFrom("revisions")
      .select("id")
      .where("deleted_at", "is", null)
      .where("retention", "=", "auto")
      .where("status", "in", ended)
      .where("id", "not in", active(db).select("revision_id"))
      .where("id", "not in", db.selectFrom("timeline_traffic").select("revision_id"))
      .limit(batch);
    const unused = idle.where("disabled_at", "is", null).where("used_at", "<", now - disableAfter);
    // One statement, which looks at its use again: what comes into use meanwhile must not be disabled.
    await db
      .updateTable("revisions")
      .set({ disabled_at: now })
      .where("id", "in", unused)
      .where("used_at", "<", now - disableAfter)
      .execute();
    for (const { id } of await idle.where("disabled_at", "<", now - deleteAfter).execute()) {
      if (signal.aborted) return;
      // It may have been used, or become active, a moment ago.
      await this.delete(id).catch((error: unknown) => {
        if (!(error instanceof CaissonError) || error.status >= 500) throw error;
      });
    }
    const unfinished = db.selectFrom("revisions").selectAll().where("deleted_at", "is not", null).limit(batch);
    for (const row of await unfinished.where("released_at", "is", null).execute()) {
      if (signal.aborted) return;
      await this.#release(row).catch((error: unknown) => this.#failed(row, error));
    }
    const old = await unfinished.where("released_at", "<", now - keepDeleted).execute();
    for (const { id } of old) await db.deleteFrom("revisions").where("id", "=", id).execute();
  }

  #mark(id: string): Promise<RevisionRow> {
    const { db, lockRows } = this.#options;
    return db.transaction().execute(async (trx) => {
      let query = trx.selectFrom("revisions").selectAll().where("id", "=", id).where("deleted_at", "is", null);
      if (lockRows) query = query.forUpdate();
      const row = await query.executeTakeFirst();
      if (row === undefined) throw revisionNotFound(id);
      if (isLive(row))
        throw new CaissonError(
          "invalid_state",
          `Revision ${id} is ${row.status === "queued" ? "queued" : "being built"}. Cancel it first, or wait until it is done.`,
          { wireCode: "REVISION_BUILDING" },
        );
      const timeline =
        (await active(trx).select("key").where("revision_id", "=", id).executeTakeFirst()) ??
        (await trx
          .selectFrom("timeline_traffic")
          .innerJoin("timelines", "timelines.id", "timeline_traffic.timeline_id")
          .select("timelines.key")
          .where("timeline_traffic.revision_id", "=", id)
          .executeTakeFirst());
      if (timeline !== undefined)
        throw new CaissonError(
          "invalid_state",
          `Revision ${id} is active: the timeline ${timeline.key} serves it. Let another revision take its place first.`,
          { wireCode: "REVISION_ACTIVE" },
        );
      // Its preview.
      await trx.deleteFrom("timelines").where("revision_id", "=", id).execute();
      const deleted = { ...row, deleted_at: Date.now() };
      await trx.updateTable("revisions").set({ deleted_at: deleted.deleted_at }).where("id", "=", id).execute();
      return deleted;
    });
  }

  async #release(row: RevisionRow): Promise<void> {
    const { db, release } = this.#options;
    await release(row);
    await db.deleteFrom("build_logs").where("revision_id", "=", row.id).execute();
    await db.updateTable("revisions").set({ released_at: Date.now() }).where("id", "=", row.id).execute();
  }

  #failed({ id }: RevisionRow, error: unknown): void {
    this.#options.log.error(
      { err: error, revision: id },
      "a deleted revision could not give back everything; trying again",
    );
  }
}

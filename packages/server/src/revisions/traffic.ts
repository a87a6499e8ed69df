/** Timelines that divide their requests among several revisions. Without rows a timeline serves its own revision alone. */
import { CaissonError } from "@caisson/protocol";
import type { RevisionDatabase, TimelineRow } from "./tables.ts";

export interface Share {
  readonly revisionId: string;
  /** Its part is this divided by the sum of all weights of the timeline. Never 0. */
  readonly weight: number;
}

/** All to its own revision, as after a deployment, a promotion or a pin. @param db or a transaction */
export async function clearTraffic(db: RevisionDatabase, timelineId: string): Promise<void> {
  await db.deleteFrom("timeline_traffic").where("timeline_id", "=", timelineId).execute();
}

export class Traffic {
  readonly #db: RevisionDatabase;
  readonly #lockRows: boolean;

  constructor(db: RevisionDatabase, lockRows: boolean) {
    this.#db = db;
    this.#lockRows = lockRows;
  }

  /** Who gets requests, in the order of their ids. Never empty. */
  async of({ id, revision_id }: Pick<TimelineRow, "id" | "revision_id">): Promise<Share[]> {
    const rows = await this.#db
      .selectFrom("timeline_traffic")
      .select(["revision_id as revisionId", "weight"])
      .where("timeline_id", "=", id)
      .where("weight", ">", 0)
      .orderBy("revision_id")
      .execute();
    return rows.length > 0 ? rows : [{ revisionId: revision_id, weight: 1 }];
  }

  /**
   * One transaction. All revisions must be built, and not be deleted.
   * @throws CaissonError `not_found` when the timeline is gone, `invalid_state` also when it is pinned and others should get requests
   */
  set(timelineId: string, shares: readonly Share[]): Promise<void> {
    const ids = shares.map(({ revisionId }) => revisionId);
    return this.#db.transaction().execute(async (trx) => {
      let revisions = trx
        .selectFrom("revisions")
        .select("id")
        .where("id", "in", ids)
        .where("status", "=", "succeeded")
        .where("deleted_at", "is", null)
        .orderBy("id");
      if (this.#lockRows) revisions = revisions.forUpdate();
      const usable = new Set((await revisions.execute()).map(({ id }) => id));
      const missing = ids.find((id) => !usable.has(id));
      if (missing !== undefined)
        throw new CaissonError(
          "invalid_state",
          `Revision ${missing} cannot be served: it is not built, or was deleted.`,
        );
      let timelines = trx.selectFrom("timelines").select(["pinned", "revision_id"]).where("id", "=", timelineId);
      if (this.#lockRows) timelines = timelines.forUpdate();
      const timeline = await timelines.executeTakeFirst();
      if (timeline === undefined) throw new CaissonError("not_found", "The timeline was deleted.");
      if (timeline.pinned === 1 && ids.some((id) => id !== timeline.revision_id))
        throw new CaissonError(
          "invalid_state",
          `The timeline is pinned to revision ${timeline.revision_id}. Unpin it first to divide its requests.`,
        );
      await clearTraffic(trx, timelineId);
      await trx
        .insertInto("timeline_traffic")
        .values(shares.map(({ revisionId, weight }) => ({ timeline_id: timelineId, revision_id: revisionId, weight })))
        .execute();
      await trx
        .updateTable("revisions")
        .set({ used_at: Date.now(), disabled_at: null })
        .where("id", "in", ids)
        .execute();
    });
  }

  clear(timelineId: string): Promise<void> {
    return clearTraffic(this.#db, timelineId);
  }
}

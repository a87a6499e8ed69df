/** Visits in the database: written in batches, read in pages, removed after the retention time and beyond a number. */
import { inBatches } from "../kernel/database/batches.ts";
import type { PreviewDatabase } from "./tables.ts";
import type { PendingVisit, RecordedVisit } from "./visit.ts";

/** Rows in one DELETE. */
const batchSize = 500;

export class VisitStore {
  readonly #db: PreviewDatabase;
  /** Organisations whose number of visits may have grown. */
  readonly #grown = new Set<string>();

  constructor(db: PreviewDatabase) {
    this.#db = db;
  }

  /** Can be repeated with the same visits. */
  async insert(visits: readonly PendingVisit[]): Promise<void> {
    if (visits.length === 0) return;
    await this.#db
      .insertInto("preview_visits")
      .values(
        visits.map(({ orgId, workloadId, visit }) => ({
          id: visit.id,
          org_id: orgId,
          workload_id: workloadId,
          visit: JSON.stringify(visit),
        })),
      )
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    for (const { orgId } of visits) this.#grown.add(orgId);
  }

  /** Newest first. */
  async of(
    { orgId, workloadId }: { readonly orgId: string; readonly workloadId: string },
    { limit, cursor }: { readonly limit: number; readonly cursor: string | undefined },
  ): Promise<{ readonly visits: RecordedVisit[]; readonly next: string | undefined }> {
    let query = this.#db
      .selectFrom("preview_visits")
      .select("visit")
      .where("org_id", "=", orgId)
      .where("workload_id", "=", workloadId);
    if (cursor !== undefined) query = query.where("id", "<", cursor);
    const rows = await query
      .orderBy("id", "desc")
      .limit(limit + 1)
      .execute();
    const visits = rows.slice(0, limit).map(({ visit }) => JSON.parse(visit) as RecordedVisit);
    return { visits, next: rows.length > limit ? visits.at(-1)!.id : undefined };
  }

  /** @param at milliseconds since the epoch */
  async removeBefore(at: number, signal: AbortSignal): Promise<void> {
    await inBatches(async () => {
      const { numDeletedRows } = await this.#db
        .deleteFrom("preview_visits")
        .where("id", "in", (eb) =>
          eb
            .selectFrom("preview_visits")
            .select("id")
            .where("id", "<", String(at).padStart(14, "0"))
            .orderBy("id")
            .limit(batchSize),
        )
        .executeTakeFirstOrThrow();
      return Number(numDeletedRows) === batchSize;
    }, signal);
  }

  /** Removes the oldest visits of each organisation that has more than `most`: of those that got some since the last call. */
  async removeBeyond(most: number, others: readonly string[], signal: AbortSignal): Promise<void> {
    for (const orgId of others) this.#grown.add(orgId);
    for (const orgId of [...this.#grown]) {
      if (signal.aborted) return;
      const own = this.#db.selectFrom("preview_visits").select("id").where("org_id", "=", orgId);
      const last = await own.orderBy("id", "desc").offset(most).limit(1).executeTakeFirst();
      if (last !== undefined)
        await inBatches(async () => {
          const { numDeletedRows } = await this.#db
            .deleteFrom("preview_visits")
            .where("id", "in", own.where("id", "<=", last.id).orderBy("id").limit(batchSize))
            .executeTakeFirstOrThrow();
          return Number(numDeletedRows) === batchSize;
        }, signal);
      this.#grown.delete(orgId);
    }
  }
}

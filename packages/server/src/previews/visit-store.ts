/** Visits in the database: written in batches, read in pages, removed after the retention time and beyond a number. */
import { firstId } from "../audit/store.ts";
import { Retention } from "../kernel/database/retention.ts";
import type { PreviewDatabase } from "./tables.ts";
import type { PendingVisit, RecordedVisit } from "./visit.ts";

export class VisitStore {
  readonly #db: PreviewDatabase;
  readonly #retention: Retention;

  constructor(db: PreviewDatabase) {
    this.#db = db;
    this.#retention = new Retention(db, "preview_visits");
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
    for (const { orgId } of visits) this.#retention.grew(orgId);
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
    await this.#retention.removeBefore(firstId(at), signal);
  }

  /** See `Retention`. */
  async removeBeyond(most: number, others: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#retention.removeBeyond(most, others, signal);
  }
}

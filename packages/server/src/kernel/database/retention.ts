/** Removes records of organisations that are too old, or too many for their organisation. */
import type { Kysely, SelectQueryBuilder } from "kysely";
import { inBatches } from "./batches.ts";

/** Rows in one DELETE, which takes some milliseconds. */
const batchSize = 500;

interface Records {
  records: { readonly id: string; readonly org_id: string };
}

type Ids = SelectQueryBuilder<Records, "records", { id: string }>;

export class Retention {
  readonly #db: Kysely<Records>;
  readonly #table: "records";
  /** Organisations whose number of records may have grown. */
  readonly #grown = new Set<string>();

  /** @param table has the columns `id`, which sorts by time, and `org_id`, and an index of both */
  constructor(db: unknown, table: string) {
    this.#db = db as Kysely<Records>;
    this.#table = table as "records";
  }

  /** To be called after records were inserted. */
  grew(orgId: string): void {
    this.#grown.add(orgId);
  }

  /** @param id sorts after all that are removed */
  async removeBefore(id: string, signal: AbortSignal): Promise<void> {
    await this.#remove(this.#ids().where("id", "<", id), signal);
  }

  /**
   * Removes the oldest records of each organisation that has more than `most`. Looks only at organisations that got some since the last
   * call, and at `others`.
   */
  async removeBeyond(most: number, others: readonly string[], signal: AbortSignal): Promise<void> {
    for (const orgId of others) this.#grown.add(orgId);
    for (const orgId of this.#grown) {
      if (signal.aborted) return;
      this.#grown.delete(orgId);
      try {
        const own = this.#ids().where("org_id", "=", orgId);
        const last = await own.orderBy("id", "desc").offset(most).limit(1).executeTakeFirst();
        if (last !== undefined) await this.#remove(own.where("id", "<=", last.id), signal);
      } catch (error) {
        this.#grown.add(orgId);
        throw error;
      }
    }
  }

  #ids(): Ids {
    return this.#db.selectFrom(this.#table).select("id");
  }

  async #remove(ids: Ids, signal: AbortSignal): Promise<void> {
    await inBatches(async () => {
      const { numDeletedRows } = await this.#db
        .deleteFrom(this.#table)
        .where("id", "in", ids.orderBy("id").limit(batchSize))
        .executeTakeFirstOrThrow();
      return Number(numDeletedRows) === batchSize;
    }, signal);
  }
}

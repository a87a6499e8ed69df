/** Runtime logs as clients read them: a page, oldest first, or as they arrive. */
import { logLevels, type RuntimeLog } from "@caisson/api";
import { sql, type RawBuilder } from "kysely";
import type { RevisionDatabase, RuntimeLogsTable } from "../tables.ts";

export interface RuntimeLogFilter {
  readonly appId: string;
  /** Milliseconds since the epoch, inclusive. */
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  readonly revisionId?: string | undefined;
  /** Lowest level, index in `logLevels`. */
  readonly level?: number | undefined;
  /** Part of the message, in any case. */
  readonly query?: string | undefined;
}

export interface RuntimeLogPosition {
  readonly at: number;
  readonly id: string;
}

/**
 * Rows that are compared with a filter for one page. A filter that finds little would read all logs of an app otherwise. One statement
 * holds up all others on SQLite.
 */
const mostCompared = 2_000;

export class RuntimeLogReader {
  readonly #db: RevisionDatabase;
  /**
   * Where a text is in another one. Not LIKE: on SQLite its time grows with the product of both lengths, and a client chooses both, so
   * that one search could take minutes.
   */
  readonly #position: RawBuilder<unknown>;

  constructor(db: RevisionDatabase, kind: "SQLite" | "PostgreSQL") {
    this.#db = db;
    this.#position = sql.raw(kind === "SQLite" ? "instr" : "strpos");
  }

  /**
   * One page, oldest first. It has fewer lines than `limit`, or none, when its filter finds little; then `next` says where to go on.
   * @param also `arrivedBefore`: only what arrived before the line with this id
   */
  async page(
    filter: RuntimeLogFilter,
    limit: number,
    also: { readonly after?: RuntimeLogPosition | undefined; readonly arrivedBefore?: string | undefined } = {},
  ): Promise<{ rows: RuntimeLogsTable[]; next: RuntimeLogPosition | undefined }> {
    const { appId, start, end, revisionId, level, query } = filter;
    const { after, arrivedBefore } = also;
    let all = this.#db
      .selectFrom("runtime_logs")
      .where("app_id", "=", appId)
      .where("at", ">=", start)
      .where("at", "<", end)
      .orderBy("at")
      .orderBy("id");
    if (after !== undefined) all = all.where((eb) => eb(eb.refTuple("at", "id"), ">", eb.tuple(after.at, after.id)));
    if (arrivedBefore !== undefined) all = all.where("id", "<", arrivedBefore);
    const filtered = revisionId !== undefined || (level ?? 0) > 0 || query !== undefined;
    const last = filtered
      ? await all
          .select(["at", "id"])
          .offset(mostCompared - 1)
          .limit(1)
          .executeTakeFirst()
      : undefined;
    let wanted = all.selectAll().limit(limit + 1);
    if (last !== undefined)
      wanted = wanted.where((eb) => eb(eb.refTuple("at", "id"), "<=", eb.tuple(last.at, last.id)));
    if (revisionId !== undefined) wanted = wanted.where("revision_id", "=", revisionId);
    if (level !== undefined && level > 0) wanted = wanted.where("level", ">=", level);
    // The database makes both lower case: SQLite does so with a to z alone.
    if (query !== undefined)
      wanted = wanted.where(sql<boolean>`${this.#position}(lower(message), lower(${query})) > 0`);
    const rows = await wanted.execute();
    if (rows.length > limit) return { rows: rows.slice(0, limit), next: rows[limit - 1] };
    return { rows, next: last };
  }

  /** What arrived after a line, in the order of arrival. */
  arrived(appId: string, after: string, limit: number): Promise<RuntimeLogsTable[]> {
    return this.#db
      .selectFrom("runtime_logs")
      .selectAll()
      .where("app_id", "=", appId)
      .where("id", ">", after)
      .orderBy("id")
      .limit(limit)
      .execute();
  }
}

/** Whether a line is one that the filter asks for, but for its time. */
export function passes(row: RuntimeLogsTable, { revisionId, level, query }: RuntimeLogFilter): boolean {
  return (
    (revisionId === undefined || row.revision_id === revisionId) &&
    (level === undefined || row.level >= level) &&
    (query === undefined || row.message.toLowerCase().includes(query.toLowerCase()))
  );
}

export function toRuntimeLog(row: RuntimeLogsTable): RuntimeLog {
  const { at, level, message, revision_id, region, trace_id, span_id } = row;
  return {
    timestamp: new Date(at).toISOString(),
    level: logLevels[level] ?? "info",
    message,
    ...(revision_id === null ? {} : { revision_id }),
    ...(region === null ? {} : { region }),
    ...(trace_id === null ? {} : { trace_id }),
    ...(span_id === null ? {} : { span_id }),
  };
}

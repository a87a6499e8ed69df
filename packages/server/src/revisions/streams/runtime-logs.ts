/** Runtime logs: what is stored since a time, then what arrives, until the end that was asked for. */
import {
  passes,
  toRuntimeLog,
  type RuntimeLogFilter,
  type RuntimeLogPosition,
  type RuntimeLogReader,
} from "../logs/read-runtime-logs.ts";
import { arrivalId, firstArrivalId, logKey, type RuntimeLogs } from "../logs/runtime-logs.ts";
import type { Watch } from "../watch.ts";
import { lookInterval } from "./progress.ts";
import type { StreamValue } from "./streams.ts";
import { waitForNews } from "./wait.ts";

export interface FollowContext {
  readonly reader: RuntimeLogReader;
  readonly runtimeLogs: RuntimeLogs;
  readonly watch: Watch;
  /** Other servers write to the same database. */
  readonly others: boolean;
}

const pageSize = 500;
/** Milliseconds after the end that lines of before it may need to arrive. */
const late = 1_000;
/** Milliseconds for which a transaction of another server may be slower than one that began after it. */
const overlap = 5_000;

/** @param filter `end`: Infinity for none */
export async function* followRuntimeLogs(
  { reader, runtimeLogs, watch, others }: FollowContext,
  filter: RuntimeLogFilter,
  signal: AbortSignal,
): AsyncGenerator<StreamValue> {
  let arrived = arrivalId();
  // What arrived before is in the table then.
  await runtimeLogs.flush();
  /** Lines of the last moments. */
  const seen = new Set<string>();
  const recorded = { ...filter, end: Number.isFinite(filter.end) ? filter.end : Number.MAX_SAFE_INTEGER };
  for (let after: RuntimeLogPosition | undefined; ;) {
    signal.throwIfAborted();
    const { rows, next } = await reader.page(recorded, pageSize, { after, arrivedBefore: arrived });
    for (const row of rows) {
      if (others && row.id > overlapOf(arrived)) seen.add(row.id);
      yield JSON.stringify(toRuntimeLog(row));
    }
    if (next === undefined) break;
    after = next;
  }
  for (;;) {
    const { changed, stop } = watch.arm(logKey(filter.appId));
    try {
      const over = Date.now() >= filter.end + late;
      const found = await reader.arrived(filter.appId, others ? overlapOf(arrived) : arrived, pageSize + seen.size);
      const rows = found.filter(({ id }) => !seen.has(id));
      for (const row of rows) {
        if (others) seen.add(row.id);
        if (row.id > arrived) arrived = row.id;
        if (row.at >= filter.start && row.at < filter.end && passes(row, filter))
          yield JSON.stringify(toRuntimeLog(row));
      }
      for (const id of seen) if (id <= overlapOf(arrived)) seen.delete(id);
      if (rows.length > 0) continue;
      if (over) return;
      const wait = Math.max(1, Math.min(lookInterval, filter.end + late - Date.now()));
      if (!(await waitForNews(changed, wait, signal))) yield undefined;
    } finally {
      stop();
    }
  }
}

function overlapOf(arrived: string): string {
  return firstArrivalId(Number(arrived.slice(0, 14)) - overlap);
}

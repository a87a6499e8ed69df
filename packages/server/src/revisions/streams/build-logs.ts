/** The build log: what is stored, then what comes, until the revision is at its end. */
import type { BuildLogEntry, BuildStep } from "@caisson/api";
import type { BuildLogs } from "../logs/build-logs.ts";
import { isLive, type RevisionStore } from "../store.ts";
import type { BuildLogsTable } from "../tables.ts";
import type { Watch } from "../watch.ts";
import { lookInterval } from "./progress.ts";
import type { StreamValue } from "./streams.ts";
import { waitForNews } from "./wait.ts";

export interface BuildLogFilter {
  readonly step?: BuildStep | undefined;
  /** Slug of a timeline, such as `preview`, or its whole name, such as `git-branch/main`. */
  readonly timeline?: string | undefined;
}

export async function* buildLogsOf(
  { store, watch, buildLogs }: { readonly store: RevisionStore; readonly watch: Watch; readonly buildLogs: BuildLogs },
  id: string,
  filter: BuildLogFilter,
  signal: AbortSignal,
): AsyncGenerator<StreamValue> {
  let seq = 0;
  for (;;) {
    const { changed, stop } = watch.arm(id);
    try {
      // Before the lines: those of a revision that is at its end are complete.
      const row = await store.get(id);
      if (row === undefined) return;
      const lines = await buildLogs.read(id, seq);
      for (const line of lines) if (matches(line, filter)) yield JSON.stringify(toEntry(line));
      seq = lines.at(-1)?.seq ?? seq;
      if (lines.length > 0) continue;
      if (!isLive(row)) return;
      // The Python client of 0.10 gives up after five seconds of silence.
      if (!(await waitForNews(changed, lookInterval, signal))) yield undefined;
    } finally {
      stop();
    }
  }
}

function matches({ step, timeline }: BuildLogsTable, filter: BuildLogFilter): boolean {
  if (filter.step !== undefined && step !== filter.step) return false;
  return (
    filter.timeline === undefined ||
    timeline === filter.timeline ||
    (timeline?.startsWith(`${filter.timeline}/`) ?? false)
  );
}

function toEntry({ at, level, message, step, timeline }: BuildLogsTable): BuildLogEntry {
  return {
    timestamp: new Date(at).toISOString(),
    level,
    message,
    step,
    ...(timeline === null ? {} : { timeline }),
  };
}

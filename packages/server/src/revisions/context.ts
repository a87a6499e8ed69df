/** What the routes of revisions work with. */
import type { Config } from "@caisson/protocol";
import type { AppsService } from "../apps/index.ts";
import type { BuildLogs } from "./logs/build-logs.ts";
import type { RuntimeLogReader } from "./logs/read-runtime-logs.ts";
import type { RuntimeLogs } from "./logs/runtime-logs.ts";
import type { TimelineName } from "./progress.ts";
import type { Removal } from "./removal.ts";
import type { Domains } from "./show.ts";
import { revisionNotFound, type RevisionStore } from "./store.ts";
import type { RevisionRow } from "./tables.ts";
import type { Streams } from "./streams/streams.ts";
import type { Timelines } from "./timelines.ts";
import type { Watch } from "./watch.ts";

export interface RevisionContext {
  readonly apps: AppsService;
  readonly store: RevisionStore;
  readonly timelines: Timelines;
  readonly watch: Watch;
  readonly buildLogs: BuildLogs;
  readonly runtimeLogs: RuntimeLogs;
  readonly reader: RuntimeLogReader;
  readonly removal: Removal;
  readonly streams: Streams;
  readonly limits: Config["apps"];
  /** Other servers write to the same database. */
  readonly others: boolean;
  readonly publicUrl: () => string;
  readonly domains: Domains;
  readonly cancelled: (id: string) => void;
  readonly ready: (revision: RevisionRow, timeline: TimelineName) => Promise<void>;
}

/** Also a deleted one. @throws CaissonError `not_found` (REVISION_NOT_FOUND) */
export async function requireRevision({ store }: RevisionContext, orgId: string, id: string): Promise<RevisionRow> {
  const row = await store.get(id);
  if (row === undefined || row.org_id !== orgId) throw revisionNotFound(id);
  return row;
}

/** What the routes of revisions work with. */
import type { Config } from "@caisson/protocol";
import type { AppRow, AppsService } from "../apps/index.ts";
import { CaissonError } from "@caisson/protocol";
import type { BuildLogs } from "./logs/build-logs.ts";
import type { RuntimeLogReader } from "./logs/read-runtime-logs.ts";
import type { RuntimeLogs } from "./logs/runtime-logs.ts";
import type { TimelineName } from "./progress.ts";
import type { Removal } from "./removal.ts";
import type { Domains } from "./show.ts";
import { revisionNotFound, type RevisionStore } from "./store.ts";
import type { RevisionRow, TimelineRow } from "./tables.ts";
import type { Streams } from "./streams/streams.ts";
import { keyOf, parseTimeline, type Timelines } from "./timelines.ts";
import type { Traffic } from "./traffic.ts";
import type { Watch } from "./watch.ts";

export interface RevisionContext {
  readonly apps: AppsService;
  readonly store: RevisionStore;
  readonly timelines: Timelines;
  readonly traffic: Traffic;
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
  /** A timeline leads elsewhere from now on. */
  readonly routed: () => void;
  readonly ready: (revision: RevisionRow, timeline: TimelineName) => Promise<void>;
}

/** Also a deleted one. @throws CaissonError `not_found` (REVISION_NOT_FOUND) */
export async function requireRevision({ store }: RevisionContext, orgId: string, id: string): Promise<RevisionRow> {
  const row = await store.get(id);
  if (row === undefined || row.org_id !== orgId) throw revisionNotFound(id);
  return row;
}

/** @throws CaissonError `not_found` when it belongs to another app, `invalid_state` */
export function requireBuilt({ id, app_id, status, deleted_at }: RevisionRow, app?: AppRow): void {
  if (app !== undefined && app_id !== app.id)
    throw new CaissonError("not_found", `The app \`${app.slug}\` has no revision \`${id}\`.`, {
      wireCode: "REVISION_NOT_FOUND",
    });
  if (status === "succeeded" && deleted_at === null) return;
  const why = deleted_at === null ? `its build has not succeeded (${status})` : "it was deleted";
  throw new CaissonError("invalid_state", `Revision ${id} cannot be served: ${why}.`);
}

/** @param name as paths name it @throws CaissonError `not_found` */
export async function requireTimeline({ timelines }: RevisionContext, app: AppRow, name: string): Promise<TimelineRow> {
  const row = await timelines.find(app.id, keyOf(parseTimeline(name)));
  if (row === undefined)
    throw new CaissonError(
      "not_found",
      `The app \`${app.slug}\` has no such timeline: ${JSON.stringify(name.slice(0, 80))}.`,
    );
  return row;
}

/** Revisions, timelines and logs of apps. Times are milliseconds since the epoch, flags 0 or 1. */
import type { BuildStep, FailureReason, Retention, RevisionStatus } from "@caisson/api";
import type { Kysely, Selectable } from "kysely";
import type { AppTables } from "../apps/index.ts";

export interface RevisionsTable {
  /** 12 lower-case letters and digits, valid in a hostname, never reused. */
  id: string;
  org_id: string;
  app_id: string;
  status: RevisionStatus;
  failure_reason: FailureReason | null;
  /** Which step failed and why, for people. */
  failure_message: string | null;
  /** JSON object. */
  labels: string;
  /** JSON, see `AppConfig` of the API. */
  config: string;
  /** JSON array of `{id, slug}`. */
  layers: string;
  /** JSON array of `{key, value}`, encrypted. */
  sealed_env: string;
  /** Whether it goes to the production timeline. */
  production: number;
  /** Whether it gets a preview timeline. */
  preview: number;
  /** Branch of its git timeline; null: none. */
  branch: string | null;
  retention: Retention;
  /** JSON, see `RevisionProgress` of the API. */
  progress: string;
  /** What it was made from: files, and bytes in them. Null: not known yet. */
  files: number | null;
  bytes: number | null;
  /** SHA-256 of the list of its files, in hexadecimal digits: the same for the same content. Null: not known yet. */
  manifest: string | null;
  created_at: number;
  cancellation_requested_at: number | null;
  build_finished_at: number | null;
  /** When a request last reached it. */
  used_at: number;
  /** Nobody used it for long: it is not served any more, and deleted later. */
  disabled_at: number | null;
  /** It keeps its row, and nothing else. */
  deleted_at: number | null;
  /** When what it held was given back after its deletion. */
  released_at: number | null;
}

export interface TimelinesTable {
  id: string;
  org_id: string;
  app_id: string;
  /** See `keyOf`: unique in the app. */
  key: string;
  slug: string;
  /** JSON object. */
  partition: string;
  context: string;
  /** The revision that it serves. */
  revision_id: string;
  /** A pinned timeline keeps its revision: new ones do not replace it. */
  pinned: number;
  created_at: number;
  changed_at: number;
}

/** Which revision a timeline served from when on. */
export interface TimelineHistoryTable {
  timeline_id: string;
  seq: number;
  revision_id: string;
  at: number;
}

/** Of timelines that divide their requests among revisions. Those without rows serve `timelines.revision_id` alone. */
export interface TimelineTrafficTable {
  timeline_id: string;
  revision_id: string;
  /** Above 0. */
  weight: number;
}

export interface BuildLogsTable {
  revision_id: string;
  /** From 1, without gaps. */
  seq: number;
  at: number;
  level: "info" | "error";
  step: BuildStep;
  timeline: string | null;
  message: string;
}

export interface RuntimeLogsTable {
  /** Sorts by arrival. */
  id: string;
  org_id: string;
  app_id: string;
  revision_id: string | null;
  at: number;
  /** Index in `logLevels`. */
  level: number;
  message: string;
  region: string | null;
  trace_id: string | null;
  span_id: string | null;
}

/** Bytes of runtime logs that arrived in a minute, so that the oldest can be removed without counting all. */
export interface RuntimeLogMinutesTable {
  org_id: string;
  /** Minutes since the epoch. */
  minute: number;
  bytes: number;
}

export interface RevisionTables {
  revisions: RevisionsTable;
  timelines: TimelinesTable;
  timeline_history: TimelineHistoryTable;
  timeline_traffic: TimelineTrafficTable;
  build_logs: BuildLogsTable;
  runtime_logs: RuntimeLogsTable;
  runtime_log_minutes: RuntimeLogMinutesTable;
}

export type RevisionDatabase = Kysely<RevisionTables & Pick<AppTables, "apps">>;
export type RevisionRow = Selectable<RevisionsTable>;
export type TimelineRow = Selectable<TimelinesTable>;

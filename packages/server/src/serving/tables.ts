/** What a revision is made of, beside its row. */
import type { Kysely, Selectable } from "kysely";
import type { AppTables } from "../apps/index.ts";
import type { RevisionTables } from "../revisions/index.ts";

export interface RevisionContentsTable {
  revision_id: string;
  /** The node that has its files. */
  node_id: string;
  /** JSON array of `TreeEntry`. */
  tree: string;
  /** JSON array of patterns, see `EgressPolicy.allow`. Null: unrestricted. */
  allow_net: string | null;
  /** JSON array of `SecretBinding`, encrypted. Null: none. */
  sealed_secrets: string | null;
}

/** What an app's owner set. Null: as the server is configured. */
export interface AppScalingTable {
  app_id: string;
  min_instances: number | null;
  max_instances: number | null;
  concurrency: number | null;
  target: number | null;
}

/** Cron jobs that the program of a revision registered. */
export interface RevisionCronsTable {
  revision_id: string;
  name: string;
  schedule: string;
  /** JSON array of milliseconds. */
  backoff: string;
}

/** Those of the production of an app, and when they run. Times are milliseconds since the epoch. */
export interface CronJobsTable {
  app_id: string;
  name: string;
  /** The node that runs it. */
  node_id: string;
  schedule: string;
  backoff: string;
  next_at: number;
  /** Failed ones since its time. 0: `next_at` is a time of its schedule. */
  attempt: number;
  /** The time of its schedule that the present or last run is for. */
  tick_at: number;
  /** Null: it does not run. */
  started_at: number | null;
  last_started_at: number | null;
  last_ended_at: number | null;
  /** Null: the last run succeeded. */
  last_error: string | null;
}

export interface ServingTables {
  revision_crons: RevisionCronsTable;
  cron_jobs: CronJobsTable;
  app_scaling: AppScalingTable;
  revision_contents: RevisionContentsTable;
}

export type ServingDatabase = Kysely<ServingTables & Pick<RevisionTables, "timelines"> & Pick<AppTables, "apps">>;
export type CronJobRow = Selectable<CronJobsTable>;
export type AppScalingRow = Selectable<AppScalingTable>;
export type RevisionContentRow = Selectable<RevisionContentsTable>;

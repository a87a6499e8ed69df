/** Apps, layers of configuration and their environment variables. Times are milliseconds since the epoch, flags 0 or 1. */
import type { Kysely, Selectable, Transaction } from "kysely";
import type { OrgTables } from "../orgs/tables.ts";

export interface AppsTable {
  /** A UUID. */
  id: string;
  org_id: string;
  slug: string;
  /** JSON object. */
  labels: string;
  /** JSON, see `AppConfig` of the API. */
  config: string;
  created_at: number;
  updated_at: number;
  /** Null: it exists. Otherwise nobody sees it, its slug is free, and what it holds is being given back. */
  deleted_at: number | null;
}

export interface AppLabelsTable {
  org_id: string;
  /** See `filterKey`. */
  filter: string;
  created_at: number;
  app_id: string;
}

/** A layer of configuration. Nothing to do with the layers of disk images (`layers`). */
export interface ConfigLayersTable {
  /** A UUID. */
  id: string;
  org_id: string;
  slug: string;
  description: string | null;
  created_at: number;
  updated_at: number;
}

/** Which layers an app names, in order of priority: an earlier one overrides a later one. */
export interface AppLayersTable {
  app_id: string;
  position: number;
  layer_id: string;
}

/** Which layers a layer includes, in the same order. */
export interface LayerIncludesTable {
  layer_id: string;
  position: number;
  included_id: string;
}

/** Exactly one of `app_id` and `layer_id` is set. */
export interface EnvVarsTable {
  id: string;
  org_id: string;
  app_id: string | null;
  layer_id: string | null;
  position: number;
  key: string;
  secret: number;
  /** JSON array of contexts. Null: all. */
  contexts: string | null;
  /** The value, AES-256-GCM, see `sealing.ts`: of all variables, since people put keys also into those that they did not mark. */
  sealed: string;
}

export interface AppTables {
  apps: AppsTable;
  app_labels: AppLabelsTable;
  config_layers: ConfigLayersTable;
  app_config_layers: AppLayersTable;
  config_layer_includes: LayerIncludesTable;
  env_vars: EnvVarsTable;
}

export type AppDatabase = Kysely<AppTables & Pick<OrgTables, "orgs">>;
export type AppTransaction = Transaction<AppTables & Pick<OrgTables, "orgs">> | AppDatabase;
export type AppRow = Selectable<AppsTable>;
export type ConfigLayerRow = Selectable<ConfigLayersTable>;
export type EnvVarRow = Selectable<EnvVarsTable>;

/** What a revision is made of, beside its row. */
import type { Kysely, Selectable } from "kysely";

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

export interface ServingTables {
  app_scaling: AppScalingTable;
  revision_contents: RevisionContentsTable;
}

export type ServingDatabase = Kysely<ServingTables>;
export type AppScalingRow = Selectable<AppScalingTable>;
export type RevisionContentRow = Selectable<RevisionContentsTable>;

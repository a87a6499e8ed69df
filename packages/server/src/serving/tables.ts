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

export interface ServingTables {
  revision_contents: RevisionContentsTable;
}

export type ServingDatabase = Kysely<ServingTables>;
export type RevisionContentRow = Selectable<RevisionContentsTable>;

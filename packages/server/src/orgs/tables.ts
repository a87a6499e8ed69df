/** Organisations and their tokens. Times are milliseconds since the epoch, flags 0 or 1. */
import type { Kysely } from "kysely";

export interface OrgsTable {
  id: string;
  slug: string;
  created_at: number;
  /** Running sandboxes at a time. Null: the configured limit. */
  concurrent_sandboxes: number | null;
}

export interface TokensTable {
  id: string;
  org_id: string;
  /** SHA-256 of the token, hexadecimal. */
  hash: string;
  name: string;
  /** The token itself, encrypted: only for the development token, which `npm start` prints again. */
  sealed: string | null;
  created_at: number;
  revoked_at: number | null;
  /** Null: never. */
  expires_at: number | null;
}

export interface OrgTables {
  orgs: OrgsTable;
  tokens: TokensTable;
}

export type OrgDatabase = Kysely<OrgTables>;

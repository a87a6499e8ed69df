/** Domains that apps claim. Times are milliseconds since the epoch. */
import type { Kysely, Selectable } from "kysely";
import type { AppTables } from "../apps/index.ts";
import type { OrgTables } from "../orgs/tables.ts";

export interface AppDomainsTable {
  app_id: string;
  /** Canonical: lower case, ASCII, without a final dot. */
  domain: string;
  /** What the DNS record must hold. */
  token: string;
  created_at: number;
  /** Null: claimed only. At most one app has a domain verified. */
  verified_at: number | null;
}

export interface DomainTables {
  app_domains: AppDomainsTable;
}

export type DomainDatabase = Kysely<DomainTables & AppTables & OrgTables>;
export type AppDomainRow = Selectable<AppDomainsTable>;

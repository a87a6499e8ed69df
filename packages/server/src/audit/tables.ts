/** Egress events. Times are milliseconds since the epoch. */
import type { Kysely } from "kysely";

export interface AuditTable {
  /** Sorts by time. */
  id: string;
  org_id: string;
  sandbox_id: string;
  at: number;
  kind: string;
  host: string;
  port: number;
  verdict: string;
  rule: string;
  /** The whole event as JSON. */
  event: string;
}

export interface AuditTables {
  audit_events: AuditTable;
}

export type AuditDatabase = Kysely<AuditTables>;

/** What sandboxes tried to reach. Times are milliseconds since the epoch, flags 0 or 1. */
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

/** The tables as Kysely sees them. Times are milliseconds since the epoch, flags 0 or 1, structures JSON text: the same on both databases. */
import type { Kysely } from "kysely";
import type { Phase } from "../lifecycle/phases.ts";
import type { VolumeTables } from "../volumes/tables.ts";

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
}

export interface SandboxesTable {
  id: string;
  org_id: string;
  phase: Phase;
  region: string;
  labels: string;
  /** MiB. */
  memory: number;
  /** Ends when its first connection ends. */
  session: number;
  /** JSON array of `allowNet` patterns, null: unrestricted. */
  allow_net: string | null;
  created_at: number;
  stop_at: number | null;
  stopped_at: number | null;
  reason: string | null;
}

/** Rows live exactly as long as their sandbox. */
export interface SecretsTable {
  sandbox_id: string;
  name: string;
  placeholder: string;
  /** JSON of hosts, and of what else narrows the secret. */
  rules: string;
  /** AES-256-GCM, see `sealing.ts`. */
  sealed: string;
}

/** Names of exposed ports; rows live as long as their sandbox. Neither port nor pid: reserved. */
export interface PreviewsTable {
  /** DNS label, unique for ever. */
  label: string;
  sandbox_id: string;
  port: number | null;
  pid: number | null;
}

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

export interface UsageTable {
  sandbox_id: string;
  org_id: string;
  cpu_micros: number;
  memory_byte_seconds: number;
  disk_byte_seconds: number;
  bytes_out: number;
  bytes_in: number;
  updated_at: number;
}

export interface Tables extends VolumeTables {
  orgs: OrgsTable;
  tokens: TokensTable;
  sandboxes: SandboxesTable;
  secrets: SecretsTable;
  previews: PreviewsTable;
  audit_events: AuditTable;
  usage: UsageTable;
}

export type Database = Kysely<Tables>;

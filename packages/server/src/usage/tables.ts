/** What workloads used. Times are milliseconds since the epoch, flags 0 or 1. */
import type { Kysely } from "kysely";

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

export interface UsageTables {
  usage: UsageTable;
}

export type UsageDatabase = Kysely<UsageTables>;

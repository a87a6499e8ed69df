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

/** What an organisation used in a month, without the workloads that still have a row in `usage`. */
export interface UsageMonthsTable {
  org_id: string;
  /** `2026-12`, in UTC: of the last sample of each workload. */
  month: string;
  workloads: number;
  cpu_micros: number;
  /** MiB and not bytes: the sum of a month stays below 2^53. */
  memory_mib_seconds: number;
  disk_mib_seconds: number;
  bytes_out: number;
  bytes_in: number;
}

export interface UsageTables {
  usage: UsageTable;
  usage_months: UsageMonthsTable;
}

export type UsageDatabase = Kysely<UsageTables>;

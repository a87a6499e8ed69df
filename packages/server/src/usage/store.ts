/**
 * What each workload used: written as increments, so that a restart loses at most one interval. When the row of a workload is removed,
 * its use is added to the month of its organisation.
 */
import { sql } from "kysely";
import type { AnyDatabase } from "../kernel/database/open.ts";
import type { UsageDatabase, UsageMonthsTable } from "./tables.ts";

export interface UsageIncrement {
  readonly workloadId: string;
  readonly orgId: string;
  readonly cpuMicros: number;
  readonly memoryByteSeconds: number;
  readonly diskByteSeconds: number;
  readonly bytesOut: number;
  readonly bytesIn: number;
}

/** Only sandboxes have rows of their own. What instances and builds of apps use is added to the month of their organisation at once. */
export async function addUsage(db: UsageDatabase, increment: UsageIncrement): Promise<void> {
  const values = {
    cpu_micros: Math.max(0, Math.round(increment.cpuMicros)),
    memory_byte_seconds: Math.max(0, Math.round(increment.memoryByteSeconds)),
    disk_byte_seconds: Math.max(0, Math.round(increment.diskByteSeconds)),
    bytes_out: increment.bytesOut,
    bytes_in: increment.bytesIn,
  };
  if (/^(ins|bld)_/.test(increment.workloadId)) {
    await addMonth(db, {
      org_id: increment.orgId,
      month: new Date().toISOString().slice(0, 7),
      workloads: 0,
      cpu_micros: values.cpu_micros,
      memory_mib_seconds: Math.round(values.memory_byte_seconds / mebibyte),
      disk_mib_seconds: Math.round(values.disk_byte_seconds / mebibyte),
      bytes_out: values.bytes_out,
      bytes_in: values.bytes_in,
    });
    return;
  }
  const added = (column: keyof typeof values) => sql<number>`${sql.ref(`usage.${column}`)} + ${values[column]}`;
  await db
    .insertInto("usage")
    .values({ sandbox_id: increment.workloadId, org_id: increment.orgId, ...values, updated_at: Date.now() })
    .onConflict((conflict) =>
      conflict.column("sandbox_id").doUpdateSet({
        cpu_micros: added("cpu_micros"),
        memory_byte_seconds: added("memory_byte_seconds"),
        disk_byte_seconds: added("disk_byte_seconds"),
        bytes_out: added("bytes_out"),
        bytes_in: added("bytes_in"),
        updated_at: Date.now(),
      }),
    )
    .execute();
}

const mebibyte = 2 ** 20;

/**
 * Removes the rows of workloads and adds them to the months of their organisations. Part of the transaction that removes the workloads:
 * nothing is counted twice or lost. A row that another server removes at the same time is counted there.
 */
export async function sumUpUsage(db: AnyDatabase, workloadIds: readonly string[]): Promise<void> {
  if (workloadIds.length === 0) return;
  const trx: UsageDatabase = db;
  const removed = await trx.deleteFrom("usage").where("sandbox_id", "in", workloadIds).returningAll().execute();
  const months = new Map<string, UsageMonthsTable>();
  for (const row of removed) {
    const month = new Date(row.updated_at).toISOString().slice(0, 7);
    const key = `${month} ${row.org_id}`;
    const sum = months.get(key) ?? { org_id: row.org_id, month, ...nothing };
    months.set(key, {
      ...sum,
      workloads: sum.workloads + 1,
      cpu_micros: sum.cpu_micros + row.cpu_micros,
      memory_mib_seconds: sum.memory_mib_seconds + Math.round(row.memory_byte_seconds / mebibyte),
      disk_mib_seconds: sum.disk_mib_seconds + Math.round(row.disk_byte_seconds / mebibyte),
      bytes_out: sum.bytes_out + row.bytes_out,
      bytes_in: sum.bytes_in + row.bytes_in,
    });
  }
  // In one order, so that two servers that do this at the same time never wait for each other.
  for (const [, row] of [...months].toSorted(([a], [b]) => (a < b ? -1 : 1))) await addMonth(trx, row);
}

const nothing = {
  workloads: 0,
  cpu_micros: 0,
  memory_mib_seconds: 0,
  disk_mib_seconds: 0,
  bytes_out: 0,
  bytes_in: 0,
} as const;

async function addMonth(trx: UsageDatabase, row: UsageMonthsTable): Promise<void> {
  const added = (column: keyof typeof nothing) => sql<number>`${sql.ref(`usage_months.${column}`)} + ${row[column]}`;
  await trx
    .insertInto("usage_months")
    .values(row)
    .onConflict((conflict) =>
      conflict.columns(["org_id", "month"]).doUpdateSet({
        workloads: added("workloads"),
        cpu_micros: added("cpu_micros"),
        memory_mib_seconds: added("memory_mib_seconds"),
        disk_mib_seconds: added("disk_mib_seconds"),
        bytes_out: added("bytes_out"),
        bytes_in: added("bytes_in"),
      }),
    )
    .execute();
}

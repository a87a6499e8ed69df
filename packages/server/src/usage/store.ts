/** What each workload used: written as increments, so that a restart loses at most one interval. */
import { sql } from "kysely";
import type { UsageDatabase } from "./tables.ts";

export interface UsageIncrement {
  readonly workloadId: string;
  readonly orgId: string;
  readonly cpuMicros: number;
  readonly memoryByteSeconds: number;
  readonly diskByteSeconds: number;
  readonly bytesOut: number;
  readonly bytesIn: number;
}

export async function addUsage(db: UsageDatabase, increment: UsageIncrement): Promise<void> {
  const values = {
    cpu_micros: Math.max(0, Math.round(increment.cpuMicros)),
    memory_byte_seconds: Math.max(0, Math.round(increment.memoryByteSeconds)),
    disk_byte_seconds: Math.max(0, Math.round(increment.diskByteSeconds)),
    bytes_out: increment.bytesOut,
    bytes_in: increment.bytesIn,
  };
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

/** Removes runtime logs that are old, or beyond what an organisation may keep. The oldest go first, in whole minutes. */
import { inBatches } from "../../kernel/database/batches.ts";
import type { RevisionDatabase } from "../tables.ts";
import { firstArrivalId } from "./runtime-logs.ts";

export interface RuntimeLogRetention {
  /** Milliseconds. */
  readonly keep: number;
  /** Of one organisation. */
  readonly bytes: number;
}

/** Rows in one DELETE, which takes some milliseconds. */
const batch = 500;
const minute = 60_000;

export async function removeOldRuntimeLogs(
  db: RevisionDatabase,
  { keep, bytes }: RuntimeLogRetention,
  signal: AbortSignal,
): Promise<void> {
  const oldest = Math.floor((Date.now() - keep) / minute);
  const orgs = await db
    .selectFrom("runtime_log_minutes")
    .select((eb) => ["org_id", eb.fn.sum<number | string>("bytes").as("bytes"), eb.fn.min("minute").as("first")])
    .groupBy("org_id")
    .execute();
  for (const org of orgs) {
    if (signal.aborted) return;
    let until = oldest;
    if (Number(org.bytes) > bytes) until = Math.max(until, await beyond(db, org.org_id, Number(org.bytes) - bytes));
    if (org.first < until) await removeBefore(db, org.org_id, until, signal);
  }
}

/** The minute before which there are at least so many bytes. */
async function beyond(db: RevisionDatabase, orgId: string, surplus: number): Promise<number> {
  const rows = await db
    .selectFrom("runtime_log_minutes")
    .select(["minute", "bytes"])
    .where("org_id", "=", orgId)
    .orderBy("minute")
    .execute();
  let left = surplus;
  for (const row of rows) {
    left -= row.bytes;
    if (left <= 0) return row.minute + 1;
  }
  return 0;
}

async function removeBefore(db: RevisionDatabase, orgId: string, until: number, signal: AbortSignal): Promise<void> {
  await inBatches(async () => {
    const { numDeletedRows } = await db
      .deleteFrom("runtime_logs")
      .where("id", "in", (eb) =>
        eb
          .selectFrom("runtime_logs")
          .select("id")
          .where("org_id", "=", orgId)
          .where("id", "<", firstArrivalId(until * minute))
          .orderBy("id")
          .limit(batch),
      )
      .executeTakeFirstOrThrow();
    return Number(numDeletedRows) === batch;
  }, signal);
  if (signal.aborted) return;
  await db.deleteFrom("runtime_log_minutes").where("org_id", "=", orgId).where("minute", "<", until).execute();
}

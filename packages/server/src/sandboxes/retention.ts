/** Removes the rows of sandboxes that ended long ago, and what belongs to them. Their use is added to the month of their organisation. */
import { inBatches } from "../kernel/database/batches.ts";
import { sumUpUsage } from "../usage/index.ts";
import type { SandboxDatabase } from "./tables.ts";

export interface Retention {
  /** Milliseconds since the epoch: what ended before is removed. */
  readonly endedBefore: number;
  /** Most ended sandboxes that one organisation keeps; the oldest are removed first. */
  readonly most: number;
  /** See `Kernel.lockRows`. */
  readonly lockRows: boolean;
}

/** Rows in one transaction, which takes some milliseconds. */
const batch = 200;

/** @returns how many sandboxes were removed */
export async function removeEnded(db: SandboxDatabase, retention: Retention, signal: AbortSignal): Promise<number> {
  let removed = 0;
  // All organisations, and not only those of this node: a node that is gone removes nothing.
  for (const { id } of await db.selectFrom("orgs").select("id").execute()) {
    const until = await lastToRemove(db, id, retention);
    if (until === undefined) continue;
    await inBatches(async () => {
      const count = await removeBatch(db, id, until, retention.lockRows);
      removed += count;
      return count === batch;
    }, signal);
  }
  return removed;
}

interface Position {
  readonly endedAt: number;
  readonly id: string;
}

/** Undefined when nothing is to be removed. */
async function lastToRemove(
  db: SandboxDatabase,
  orgId: string,
  { endedBefore, most }: Retention,
): Promise<Position | undefined> {
  const ended = db
    .selectFrom("sandboxes")
    .select(["stopped_at as endedAt", "id"])
    .where("org_id", "=", orgId)
    .where("phase", "=", "stopped")
    .where("stopped_at", "is not", null)
    .orderBy("stopped_at", "desc")
    .orderBy("id", "desc")
    .limit(1)
    .$narrowType<{ endedAt: number }>();
  const tooOld = await ended.where("stopped_at", "<", endedBefore).executeTakeFirst();
  const tooMany = await ended.offset(most).executeTakeFirst();
  if (tooOld === undefined || tooMany === undefined) return tooOld ?? tooMany;
  return tooOld.endedAt > tooMany.endedAt ? tooOld : tooMany;
}

async function removeBatch(db: SandboxDatabase, orgId: string, until: Position, lockRows: boolean): Promise<number> {
  return db.transaction().execute(async (trx) => {
    let query = trx
      .selectFrom("sandboxes")
      .select("id")
      .where("org_id", "=", orgId)
      .where("phase", "=", "stopped")
      .where((eb) => eb(eb.refTuple("stopped_at", "id"), "<=", eb.tuple(until.endedAt, until.id)))
      .orderBy("stopped_at")
      .orderBy("id")
      .limit(batch);
    // Another server may do the same.
    if (lockRows) query = query.forUpdate().skipLocked();
    const ids = (await query.execute()).map((row) => row.id);
    if (ids.length === 0) return 0;
    await sumUpUsage(trx, ids);
    // Labels, secrets and names of exposed ports go with their sandbox.
    await trx.deleteFrom("sandboxes").where("id", "in", ids).execute();
    return ids.length;
  });
}

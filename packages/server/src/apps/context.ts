/** What the operations on apps and layers work with. */
import type { Config } from "@caisson/protocol";
import type { Logger } from "pino";
import type { EnvVarStore } from "./env-vars/store.ts";
import type { AppDatabase, AppRow, AppTransaction } from "./tables.ts";

export interface AppContext {
  readonly db: AppDatabase;
  /** See `Kernel.lockRows`. */
  readonly lockRows: boolean;
  readonly envVars: EnvVarStore;
  readonly limits: Config["apps"];
  readonly log: Logger;
  /** Their environment or configuration changed. */
  readonly changed: (appIds: readonly string[]) => void;
  /** Gives back what a deleted app holds. */
  readonly release: (app: AppRow) => Promise<void>;
}

/** One transaction; on PostgreSQL, changes of one organisation's apps and layers wait for each other, as they do on SQLite. */
export function inTransaction<T>(
  { db, lockRows }: AppContext,
  orgId: string,
  work: (trx: AppTransaction) => Promise<T>,
): Promise<T> {
  return db.transaction().execute(async (trx) => {
    if (lockRows) await trx.selectFrom("orgs").select("id").where("id", "=", orgId).forUpdate().execute();
    return work(trx);
  });
}

/** Later than the former time, also when two changes come in one millisecond or the clock was set back. */
export function later(former: number): number {
  return Math.max(Date.now(), former + 1);
}

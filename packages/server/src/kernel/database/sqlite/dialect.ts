/** Kysely over Node's built-in SQLite in a thread of its own, because its functions are synchronous. */
import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, type Dialect } from "kysely";
import type { Logger } from "pino";
import { SqliteDriver } from "./driver.ts";
import { SqliteThread } from "./thread.ts";

export interface SqliteOptions {
  readonly path: string;
  /** See `reserve-file.ts`. */
  readonly reservePath: string;
  /** Milliseconds for a statement, with the time that it waits for others. Asked for each one. */
  readonly statementTimeout: () => number;
  /** Largest heap of the thread, MiB. Default: enough for any page of rows. */
  readonly heapMiB?: number;
  readonly log: Logger;
}

/** Without transactions a server that dies in the middle of its migrations would leave tables that the next start cannot create again. */
class Adapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

export function sqliteDialect({ path, reservePath, statementTimeout, heapMiB = 256, log }: SqliteOptions): Dialect {
  return {
    createDriver: () => new SqliteDriver(new SqliteThread({ path, reservePath, heapMiB, log }), statementTimeout),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: () => new Adapter(),
    createIntrospector: (db) => new SqliteIntrospector(db),
  };
}

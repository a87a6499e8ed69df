/** What the server's thread and the thread of SQLite send each other. */

export interface ThreadOptions {
  /** File of the database. */
  readonly path: string;
  /** File that gives its space back when the disk is full. See `reserve-file.ts`. */
  readonly reservePath: string;
}

/** `writer`: one transaction at a time. `reader`: sees what is committed, also while the writer waits for a lock of another process. */
export type SqliteConnectionName = "writer" | "reader";

export interface Statement {
  readonly connection: SqliteConnectionName;
  readonly sql: string;
  readonly parameters: readonly unknown[];
  /** Milliseconds on the clock of `monotonicNow`. A statement whose turn comes later is not run. */
  readonly deadline: number;
  /** May use the reserve when the disk is full. */
  readonly reserve: boolean;
}

export type Task = { readonly kind: "run"; readonly statement: Statement } | { readonly kind: "rollback" | "close" };

export interface Request {
  readonly id: number;
  readonly task: Task;
}

export interface StatementResult {
  /** Undefined for a statement that returns no rows. */
  readonly rows?: readonly unknown[];
  readonly changes?: number | bigint;
  readonly lastInsertRowid?: number | bigint;
}

/** Code of a failure: the statement was not run, because its deadline had passed when its turn came. */
export const lateCode = "STATEMENT_LATE";

export interface Failure {
  readonly message: string;
  /** `ERR_SQLITE_ERROR`, a code of Node, or `lateCode`. */
  readonly code?: string | undefined;
  /** Extended result code of SQLite. */
  readonly errcode?: number | undefined;
  readonly errstr?: string | undefined;
}

export type Answer = { readonly id: number } & ({ readonly result: StatementResult } | { readonly failure: Failure });

/** Milliseconds; one clock for all threads of a process, which `performance.now` is not. */
export function monotonicNow(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

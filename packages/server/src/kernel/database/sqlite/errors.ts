/** Errors of SQLite: with their codes inside this folder, as errors of Caisson outside. */
import { CaissonError } from "@caisson/protocol";
import { lateCode, type Failure } from "./messages.ts";

/** Primary result codes (https://www.sqlite.org/rescode.html). */
const [busy, locked, full] = [5, 6, 13];
/** Extended: the index of the write-ahead log cannot grow, which is what a full disk can look like. */
const shmSize = 4874;

export class SqliteError extends Error {
  override readonly name = "SqliteError";
  readonly code: string | undefined;
  /** Extended result code of SQLite; the lowest byte is the primary one. */
  readonly errcode: number | undefined;
  readonly errstr: string | undefined;

  constructor({ message, code, errcode, errstr }: Failure) {
    super(message);
    this.code = code;
    this.errcode = errcode;
    this.errstr = errstr;
  }
}

/** Another process holds the lock. */
export function isBusy(error: unknown): boolean {
  return error instanceof SqliteError && [busy, locked].includes((error.errcode ?? 0) & 0xff);
}

/** It was not run. */
export function isLate(error: unknown): boolean {
  return error instanceof SqliteError && error.code === lateCode;
}

export function isFull({ errcode }: { readonly errcode?: number | undefined }): boolean {
  return errcode === shmSize || ((errcode ?? 0) & 0xff) === full;
}

/** What callers see: errors that say what to do, where there is something to do; the original is the cause. */
export function toDatabaseError(error: unknown): unknown {
  if (isBusy(error))
    return new CaissonError("unavailable", "Another process has locked the database. Try again.", { cause: error });
  if (isLate(error))
    return new CaissonError("unavailable", "The database is busy with other work. Try again.", { cause: error });
  if (error instanceof SqliteError && isFull(error))
    return new CaissonError(
      "resource_exhausted",
      "The server's disk is full. Delete volumes, snapshots or sandboxes, or ask the operator for more space.",
      { wireCode: "DISK_FULL", cause: error },
    );
  return error;
}

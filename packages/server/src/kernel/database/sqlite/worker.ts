/** The thread that runs SQLite, whose functions are synchronous. See `thread.ts` for the other side. */
import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { isFull } from "./errors.ts";
import {
  lateCode,
  monotonicNow,
  type Answer,
  type Failure,
  type Request,
  type Statement,
  type StatementResult,
  type Task,
  type ThreadOptions,
} from "./messages.ts";
import { giveBack } from "./reserve-file.ts";

/** Milliseconds. Only while it opens: later the other side waits for locks, so that reads go on here. */
const openTimeout = 5000;
/** A transaction that may use the reserve gets this much free space before it begins, bytes. */
const roomForTransaction = 512 * 1024;

const { path, reservePath } = workerData as ThreadOptions;
const port = parentPort!;
const connections = { writer: openDatabase(), reader: openDatabase() };
connections.reader.exec("PRAGMA query_only = ON");

function openDatabase(): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: openTimeout });
  // FULL: what was answered to a client survives a power cut, at the cost of one fsync for each write.
  database.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA busy_timeout = 0;",
  );
  return database;
}

function perform(task: Task): StatementResult {
  if (task.kind === "run") return run(task.statement);
  // SQLite may have rolled back by itself, for example when the disk is full.
  if (task.kind === "rollback" && connections.writer.isTransaction) connections.writer.exec("rollback");
  if (task.kind === "close") for (const database of Object.values(connections)) database.close();
  return {};
}

function run(statement: Statement): StatementResult {
  if (monotonicNow() > statement.deadline)
    throw Object.assign(new Error("The statement did not get its turn in time."), { code: lateCode });
  const { reserve, sql } = statement;
  if (reserve && /^begin\b/i.test(sql) && freeBytes() < roomForTransaction) giveBack(reservePath);
  for (;;) {
    try {
      return runOnce(statement);
    } catch (error) {
      // In a transaction the caller must begin again; the space is there then.
      if (!reserve || !isFull(error as Failure)) throw error;
      const inTransaction = connections.writer.isTransaction || /^commit\b/i.test(sql);
      if (!giveBack(reservePath) || inTransaction) throw error;
    }
  }
}

function runOnce({ connection, sql, parameters }: Statement): StatementResult {
  const prepared = connections[connection].prepare(sql);
  if (prepared.columns().length > 0) return { rows: prepared.all(...(parameters as SQLInputValue[])) };
  const { changes, lastInsertRowid } = prepared.run(...(parameters as SQLInputValue[]));
  return { changes, lastInsertRowid };
}

function freeBytes(): number {
  const { bavail, bsize } = statfsSync(dirname(path));
  return bavail * bsize;
}

function answer({ id, task }: Request): Answer {
  try {
    return { id, result: perform(task) };
  } catch (error) {
    const { message, code, errcode, errstr } = error as Failure;
    return { id, failure: { message, code, errcode, errstr } };
  }
}

port.on("message", (request: Request) => {
  port.postMessage(answer(request));
  if (request.task.kind === "close") port.close();
});

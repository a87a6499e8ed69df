/**
 * Kysely's driver over the thread of SQLite. Writes and transactions take turns on one connection; reads outside of transactions have
 * a connection of their own, so that they go on while a write waits for a lock that another process holds.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { CaissonError } from "@caisson/protocol";
import { CompiledQuery, type DatabaseConnection, type Driver, type QueryResult } from "kysely";
import { isBusy, isLate, toDatabaseError } from "./errors.ts";
import { monotonicNow, type SqliteConnectionName, type StatementResult } from "./messages.ts";
import { mayUseReserve } from "./reserve-file.ts";
import type { SqliteThread } from "./thread.ts";
import { Turns } from "./turns.ts";

/** Milliseconds between attempts while another process holds the lock. */
const busyPause = 25;
/** Milliseconds to start the thread and open the file. */
const openTimeout = 30_000;
/** Milliseconds after the deadline for which an answer that was due by then may arrive: it says more than that there is none. */
const margin = 250;

export class SqliteDriver implements Driver {
  readonly #thread: SqliteThread;
  readonly #timeout: () => number;
  readonly #turns = new Turns();

  /** @param timeout milliseconds for a statement, with the time that it waits for others; asked for each one */
  constructor(thread: SqliteThread, timeout: () => number) {
    this.#thread = thread;
    this.#timeout = timeout;
  }

  /** Opens the database, so that a file that cannot be opened is found now. */
  async init(): Promise<void> {
    await new Connection(this.#thread, this.#turns, openTimeout).executeQuery(CompiledQuery.raw("select 1"));
  }

  async acquireConnection(): Promise<Connection> {
    return new Connection(this.#thread, this.#turns, this.#timeout());
  }

  beginTransaction(connection: Connection): Promise<void> {
    return connection.begin();
  }

  commitTransaction(connection: Connection): Promise<void> {
    return connection.commit();
  }

  rollbackTransaction(connection: Connection): Promise<void> {
    return connection.rollback();
  }

  async releaseConnection(connection: Connection): Promise<void> {
    connection.release();
  }

  destroy(): Promise<void> {
    return this.#thread.close();
  }
}

interface Transaction {
  readonly generation: number;
  /** Lets the next writer begin. */
  readonly done: () => void;
  ended: boolean;
}

class Connection implements DatabaseConnection {
  readonly #thread: SqliteThread;
  readonly #turns: Turns;
  readonly #limit: number;
  #transaction: Transaction | undefined;

  constructor(thread: SqliteThread, turns: Turns, limit: number) {
    this.#thread = thread;
    this.#turns = turns;
    this.#limit = limit;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const deadline = monotonicNow() + this.#limit;
    try {
      const { rows = [], changes, lastInsertRowid } = await this.#execute(query, deadline);
      return {
        rows: rows as R[],
        ...(changes !== undefined && { numAffectedRows: BigInt(changes) }),
        ...(lastInsertRowid !== undefined && { insertId: BigInt(lastInsertRowid) }),
      };
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  async #execute(query: CompiledQuery, deadline: number): Promise<StatementResult> {
    const transaction = this.#transaction;
    if (transaction !== undefined)
      return this.#within(deadline, this.#send("writer", query, deadline, transaction.generation));
    if (reads(query)) return this.#within(deadline, this.#whileBusy("reader", query, deadline));
    const done = await this.#turns.take(deadline);
    // The turn ends with the statement and not with the patience of its caller.
    return this.#within(deadline, this.#whileBusy("writer", query, deadline).finally(done));
  }

  // eslint-disable-next-line require-yield -- the interface wants a generator
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new CaissonError("unsupported", "Results of SQLite are not streamed. Read them in pages.");
  }

  async begin(): Promise<void> {
    const deadline = monotonicNow() + this.#limit;
    try {
      const done = await this.#turns.take(deadline);
      // IMMEDIATE: the lock is taken now or not at all. A lock that is taken later can fail without a way to wait for it.
      const { generation } = this.#thread;
      const begun = this.#whileBusy("writer", CompiledQuery.raw("begin immediate"), deadline, generation);
      await this.#within(deadline, begun).catch((error: unknown) => {
        void this.#undo(begun).finally(done);
        throw error;
      });
      this.#transaction = { generation, done, ended: false };
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  /** A transaction may still begin when nobody waits for it any more. */
  async #undo(begun: Promise<unknown>): Promise<void> {
    await begun.then(
      () => this.#thread.send({ kind: "rollback" }).catch(() => {}),
      () => {},
    );
  }

  async commit(): Promise<void> {
    await this.executeQuery(CompiledQuery.raw("commit"));
    if (this.#transaction !== undefined) this.#transaction.ended = true;
  }

  async rollback(): Promise<void> {
    const transaction = this.#transaction;
    // It has ended with its thread.
    if (transaction === undefined || transaction.generation !== this.#thread.generation) return;
    const rolledBack = this.#thread.send({ kind: "rollback" }, transaction.generation);
    await this.#within(monotonicNow() + this.#limit, rolledBack);
    transaction.ended = true;
  }

  release(): void {
    const transaction = this.#transaction;
    this.#transaction = undefined;
    if (transaction === undefined) return;
    if (transaction.ended) return transaction.done();
    void this.#thread
      .send({ kind: "rollback" }, transaction.generation)
      .catch(() => {})
      .finally(transaction.done);
  }

  async #whileBusy(
    name: SqliteConnectionName,
    query: CompiledQuery,
    deadline: number,
    generation?: number,
  ): Promise<StatementResult> {
    let lastBusy: unknown;
    for (;;) {
      try {
        return await this.#send(name, query, deadline, generation);
      } catch (error) {
        // The lock is the reason why it is late.
        if (isLate(error) && lastBusy !== undefined) throw lastBusy;
        lastBusy = error;
        if (!isBusy(error) || monotonicNow() + busyPause >= deadline) throw error;
        await sleep(busyPause);
      }
    }
  }

  #send(
    connection: SqliteConnectionName,
    { sql, parameters }: CompiledQuery,
    deadline: number,
    generation?: number,
  ): Promise<StatementResult> {
    const statement = { connection, sql, parameters, deadline, reserve: mayUseReserve() };
    return this.#thread.send({ kind: "run", statement }, generation);
  }

  /** A statement that runs cannot be interrupted: Node has no function for it. Its caller stops waiting. */
  async #within<T>(deadline: number, work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const say = () =>
        reject(
          new CaissonError(
            "unavailable",
            `The database did not answer within ${this.#limit} ms. Whether it did what was asked is not known.`,
          ),
        );
      timer = setTimeout(say, Math.max(0, deadline - monotonicNow()) + margin);
    });
    return Promise.race([work, late]).finally(() => clearTimeout(timer));
  }
}

function reads({ query, sql }: CompiledQuery): boolean {
  return query.kind === "SelectQueryNode" || (query.kind === "RawNode" && /^\s*select\b/i.test(sql));
}

/** PostgreSQL through `pg`. A server that does not answer, or a network that drops everything, costs a deadline and not a hang. */
import { CaissonError } from "@caisson/protocol";
import { PostgresDialect, type PostgresPool, type PostgresPoolClient } from "kysely";
import pg from "pg";
import type { Logger } from "pino";

/** Milliseconds for a new connection, or for one of the pool to become free. */
const connectTimeout = 5_000;
/** Milliseconds by which we wait longer than the server: its own error is the better one. */
const margin = 1_000;
/** Milliseconds for which a transaction may do nothing. It holds locks, and its server may have died on another host. */
const idleInTransaction = 30_000;
/** Milliseconds to close connections in order. */
const endTimeout = 2_000;

/**
 * @param url `postgres://user:password@host/database`
 * @param timeout milliseconds for a statement
 */
export function postgresDialect(url: string, timeout: number, log: Logger): PostgresDialect {
  const pool = new pg.Pool({
    connectionString: url,
    max: 10,
    connectionTimeoutMillis: connectTimeout,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    statement_timeout: timeout,
    lock_timeout: timeout,
    query_timeout: timeout + margin,
    idle_in_transaction_session_timeout: idleInTransaction,
    // Our 64-bit columns hold times and byte counts below 2^53.
    types: {
      getTypeParser: (oid, format) => (oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format)),
    },
  });
  // Without a listener the loss of an idle connection would end the process; the pool opens a new one by itself.
  pool.on("error", (error) => log.warn({ err: error }, "an idle database connection was lost"));
  return new PostgresDialect({ pool: new Pool(pool) });
}

/** Gives Kysely clients that are closed, and not used again, after their connection failed. */
class Pool implements PostgresPool {
  readonly #pool: pg.Pool;
  readonly #clients = new Set<pg.PoolClient>();

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    pool.on("connect", (client) => this.#clients.add(client));
    pool.on("remove", (client) => this.#clients.delete(client));
  }

  async connect(): Promise<PostgresPoolClient> {
    return new Client(await this.#pool.connect().catch((error: unknown) => Promise.reject(toDatabaseError(error))));
  }

  async end(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        for (const client of this.#clients) cut(client);
        resolve();
      }, endTimeout);
    });
    await Promise.race([this.#pool.end(), late]).finally(() => clearTimeout(timer));
  }
}

class Client implements PostgresPoolClient {
  readonly #client: pg.PoolClient;
  #failure: unknown;

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  readonly query = ((sql: unknown, parameters: readonly unknown[]) => {
    if (typeof sql !== "string") throw new CaissonError("unsupported", "Results are not streamed. Read them in pages.");
    return this.#query(sql, parameters);
  }) as PostgresPoolClient["query"];

  async #query(sql: string, parameters: readonly unknown[]): Promise<unknown> {
    // It would wait behind a statement that is never answered.
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return await this.#client.query(sql, [...parameters]);
    } catch (error) {
      const thrown = toDatabaseError(error);
      if (!(error instanceof pg.DatabaseError)) {
        this.#failure = thrown;
        cut(this.#client);
      }
      throw thrown;
    }
  }

  release(): void {
    this.#client.release(this.#failure !== undefined);
  }
}

/** `end` would first say goodbye, to a server that may not read any more. */
function cut(client: pg.PoolClient): void {
  (client as unknown as { readonly connection: { readonly stream: { destroy(): void } } }).connection.stream.destroy();
}

/** Classes of SQLSTATE: connection, resources, and operator intervention, which statement_timeout belongs to; lock_timeout. */
const passing = /^(08|53|57)|^55P03$/;

/** Errors of the connection become `unavailable`, with the original as cause. Those about a statement stay as they are. */
function toDatabaseError(error: unknown): unknown {
  if (error instanceof TypeError) return error;
  if (error instanceof pg.DatabaseError && !passing.test(error.code ?? "")) return error;
  return new CaissonError("unavailable", `The database does not answer (${reason(error)}). Try again.`, {
    cause: error,
  });
}

function reason(error: unknown): string {
  const { message, code } = error as { message?: string; code?: string };
  return message || code || String(error);
}

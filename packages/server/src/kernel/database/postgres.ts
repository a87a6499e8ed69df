/** PostgreSQL through `pg`. */
import { PostgresDialect } from "kysely";
import pg from "pg";
import type { Logger } from "pino";

/** @param url `postgres://user:password@host/database` */
export function postgresDialect(url: string, log: Logger): PostgresDialect {
  const pool = new pg.Pool({
    connectionString: url,
    max: 10,
    connectionTimeoutMillis: 10_000,
    // Our 64-bit columns hold times and byte counts below 2^53.
    types: {
      getTypeParser: (oid, format) => (oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format)),
    },
  });
  // Without a listener the loss of an idle connection would end the process; the pool opens a new one by itself.
  pool.on("error", (error) => log.warn({ err: error }, "an idle database connection was lost"));
  return new PostgresDialect({ pool });
}

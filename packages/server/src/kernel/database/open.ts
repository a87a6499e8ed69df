/** Opens the database and brings its tables up to date. */
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { CaissonError } from "@caisson/protocol";
import { Kysely, Migrator, type Migration } from "kysely";
import type { Logger } from "pino";
import { postgresDialect } from "./postgres.ts";
import { keepReserve } from "./reserve.ts";
import { sqliteDialect } from "./sqlite/dialect.ts";

/**
 * The database before a slice has narrowed it to its own tables. Times are milliseconds since the epoch, flags 0 or 1, structures JSON
 * text: the same on both databases.
 */
// eslint-disable-next-line typescript/no-explicit-any -- each slice declares its tables; nobody knows all of them
export type AnyDatabase = Kysely<any>;

/** The embedded database, in the state directory. */
export const databaseFile = "caisson.db";

export interface OpenDatabaseOptions {
  /** State directory; holds `caisson.db` unless a URL is given. */
  readonly home: string;
  /** `postgres://...`: PostgreSQL instead of the embedded SQLite. */
  readonly url?: string | undefined;
  /** Of all slices. */
  readonly migrations: Readonly<Record<string, Migration>>;
  /** Size of the reserve beside SQLite, bytes. Default: what exists stays as it is. */
  readonly reserveBytes?: number | undefined;
  readonly log: Logger;
}

/** Milliseconds for a statement, with the time that it waits for others. Clients give up after 10 s. */
const statementTimeout = 8_000;
/** Milliseconds. A migration may rewrite a large table. */
const migrationTimeout = 3_600_000;

/** @throws CaissonError `unavailable` when the database cannot be reached or migrated */
export async function openDatabase(options: OpenDatabaseOptions): Promise<AnyDatabase> {
  const { home, url, migrations, reserveBytes, log } = options;
  if (url !== undefined && !/^postgres(ql)?:/.test(url)) {
    throw new CaissonError(
      "invalid_argument",
      "DATABASE_URL must begin with postgres://. Unset it to use the embedded database.",
    );
  }
  await mkdir(home, { recursive: true, mode: 0o700 });
  const path = join(home, databaseFile);
  const reservePath = join(home, "caisson.reserve");
  let migrated = false;
  const db: AnyDatabase = new Kysely({
    dialect:
      url === undefined
        ? sqliteDialect({
            path,
            reservePath,
            statementTimeout: () => (migrated ? statementTimeout : migrationTimeout),
            log,
          })
        : postgresDialect(url, statementTimeout, log),
  });
  try {
    if (url === undefined) await migrate(db, migrations, log);
    else await withPatience(url, log, (patient) => migrate(patient, migrations, log));
    if (url === undefined) await chmod(path, 0o600);
    migrated = true;
  } catch (cause) {
    await db.destroy().catch(() => {});
    throw new CaissonError("unavailable", `The database could not be opened: ${(cause as Error).message}`, { cause });
  }
  return url !== undefined || reserveBytes === undefined ? db : keepReserve(db, reservePath, reserveBytes, log);
}

/** PostgreSQL knows its deadlines from the start of a connection. */
async function withPatience(url: string, log: Logger, work: (db: AnyDatabase) => Promise<void>): Promise<void> {
  const db: AnyDatabase = new Kysely({ dialect: postgresDialect(url, migrationTimeout, log) });
  try {
    await work(db);
  } finally {
    await db
      .destroy()
      .catch((error: unknown) => log.warn({ err: error }, "connections of the migrations did not close"));
  }
}

async function migrate(db: AnyDatabase, migrations: OpenDatabaseOptions["migrations"], log: Logger): Promise<void> {
  const { error, results = [] } = await new Migrator({
    db,
    provider: { getMigrations: () => Promise.resolve({ ...migrations }) },
    // A slice that is added may bring a migration whose name sorts before one that has run.
    allowUnorderedMigrations: true,
  }).migrateToLatest();
  if (error !== undefined) throw error;
  for (const { migrationName } of results) log.info({ migration: migrationName }, "database migrated");
}

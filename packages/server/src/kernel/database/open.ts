/** Opens the database and brings its tables up to date. */
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { CaissonError } from "@caisson/protocol";
import { Kysely, Migrator, type Migration } from "kysely";
import type { Logger } from "pino";
import { postgresDialect } from "./postgres.ts";
import { sqliteDialect } from "./sqlite.ts";

/**
 * The database before a slice has narrowed it to its own tables. Times are milliseconds since the epoch, flags 0 or 1, structures JSON
 * text: the same on both databases.
 */
// eslint-disable-next-line typescript/no-explicit-any -- each slice declares its tables; nobody knows all of them
export type AnyDatabase = Kysely<any>;

export interface OpenDatabaseOptions {
  /** State directory; holds `caisson.db` unless a URL is given. */
  readonly home: string;
  /** `postgres://...`: PostgreSQL instead of the embedded SQLite. */
  readonly url?: string | undefined;
  /** Of all slices. */
  readonly migrations: Readonly<Record<string, Migration>>;
  readonly log: Logger;
}

/** @throws CaissonError `unavailable` when the database cannot be reached or migrated */
export async function openDatabase({ home, url, migrations, log }: OpenDatabaseOptions): Promise<AnyDatabase> {
  if (url !== undefined && !/^postgres(ql)?:/.test(url)) {
    throw new CaissonError(
      "invalid_argument",
      "DATABASE_URL must begin with postgres://. Unset it to use the embedded database.",
    );
  }
  await mkdir(home, { recursive: true, mode: 0o700 });
  const file = join(home, "caisson.db");
  const db = new Kysely<unknown>({ dialect: url === undefined ? sqliteDialect(file) : postgresDialect(url, log) });
  try {
    const { error, results = [] } = await new Migrator({
      db,
      provider: { getMigrations: () => Promise.resolve({ ...migrations }) },
      // A slice that is added may bring a migration whose name sorts before one that has run.
      allowUnorderedMigrations: true,
    }).migrateToLatest();
    if (error !== undefined) throw error;
    for (const { migrationName } of results) log.info({ migration: migrationName }, "database migrated");
    if (url === undefined) await chmod(file, 0o600);
    return db;
  } catch (cause) {
    await db.destroy().catch(() => {});
    throw new CaissonError("unavailable", `The database could not be opened: ${(cause as Error).message}`, { cause });
  }
}

/** A server that dies while it changes its tables: the next one begins that change again, or finds it done. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Migration } from "kysely";
import { pino } from "pino";
import { openDatabase } from "./open.ts";

const log = pino({ level: "silent" });
const directory = mkdtempSync(join(tmpdir(), "caisson-open-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const creates = (table: string, then?: () => void): Migration => ({
  async up(db) {
    await db.schema.createTable(table).addColumn("id", "text").execute();
    then?.();
  },
});

/** Opens the database with two migrations in a process that kills itself in the second one, after its table was created. */
const dies = `
  import { pino } from ${JSON.stringify(import.meta.resolve("pino"))};
  import { openDatabase } from ${JSON.stringify(import.meta.resolve("./open.ts"))};
  const creates = ${creates.toString()};
  await openDatabase({
    home: process.argv[2],
    log: pino({ level: "silent" }),
    migrations: { first: creates("birds"), second: creates("fish", () => process.kill(process.pid, "SIGKILL")) },
  });`;

test("a migration that was killed in the middle can be run again", async () => {
  const home = join(directory, "killed");
  const program = join(directory, "dies.mjs");
  writeFileSync(program, dies);
  const child = spawn(process.execPath, [program, home], { stdio: "inherit" });
  const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
  assert.deepEqual([code, signal], [null, "SIGKILL"]);

  const db = await openDatabase({ home, log, migrations: { first: creates("birds"), second: creates("fish") } });
  await db.insertInto("fish").values({ id: "trout" }).execute();
  await db.insertInto("birds").values({ id: "wren" }).execute();
  await db.destroy();
});

test("a migration that fails leaves the database as it was", async () => {
  const home = join(directory, "failed");
  const fails = creates("fish", () => {
    throw new Error("no water");
  });
  await assert.rejects(openDatabase({ home, log, migrations: { first: creates("birds"), second: fails } }), {
    code: "unavailable",
    message: /no water/,
  });
  const db = await openDatabase({ home, log, migrations: { second: creates("fish") } });
  await assert.rejects(db.selectFrom("birds").selectAll().execute(), /no such table/);
  assert.deepEqual(await db.selectFrom("fish").selectAll().execute(), []);
  await db.destroy();
});

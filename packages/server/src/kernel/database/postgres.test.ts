/** PostgreSQL that falls silent, ends, or is held up by a lock: every statement ends within its deadline, and service resumes. */
import assert from "node:assert/strict";
import { after, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startPostgres, until, type TestPostgres } from "@caisson/testing";
import { Kysely, sql } from "kysely";
import { pino } from "pino";
import { repeat } from "../repeat.ts";
import { postgresDialect } from "./postgres.ts";

const log = pino({ level: "silent" });
let postgres: TestPostgres;

before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.stop());

/** A statement may take 500 ms at the server and 1500 ms with everything. */
function open(t: TestContext): Kysely<unknown> {
  const db = new Kysely<unknown>({ dialect: postgresDialect(postgres.url, 500, log) });
  t.after(() => db.destroy());
  return db;
}

const one = (db: Kysely<unknown>) => sql<{ one: number }>`select 1 as one`.execute(db);

test("a server that falls silent costs a deadline; background work goes on when it is back", async (t) => {
  const db = open(t);
  await one(db);
  let runs = 0;
  const task = repeat(
    {
      name: "asking",
      interval: 100,
      async run() {
        await one(db);
        runs++;
      },
    },
    log,
  );
  t.after(() => task.stop());
  await sleep(250);
  assert.ok(runs > 0);
  postgres.freeze();
  t.after(() => postgres.thaw());
  const started = performance.now();
  await assert.rejects(one(db), { code: "unavailable" });
  await assert.rejects(
    db.transaction().execute((trx) => one(trx)),
    { code: "unavailable" },
  );
  assert.ok(performance.now() - started < 12_000);
  postgres.thaw();
  const before = runs;
  await until(8000, "the task to run again", () => runs > before || undefined);
  await one(db);
});

test("closing does not wait for a silent server", async (t) => {
  const db = open(t);
  await one(db);
  postgres.freeze();
  t.after(() => postgres.thaw());
  const started = performance.now();
  await db.destroy();
  assert.ok(performance.now() - started < 4000);
});

test("a restart of the server fails what is under way and nothing after it", async (t) => {
  const db = open(t);
  await one(db);
  await postgres.interrupt();
  await assert.rejects(one(db), { code: "unavailable" });
  await postgres.resume();
  await one(db);
});

test("a statement that takes long ends, also when it waits for a lock, and its connection can be used again", async (t) => {
  const db = open(t);
  await assert.rejects(sql`select pg_sleep(5)`.execute(db), { code: "unavailable" });
  await sql`create table if not exists things (id integer)`.execute(db);
  await db.transaction().execute(async (trx) => {
    await sql`lock table things`.execute(trx);
    await assert.rejects(sql`insert into things values (1)`.execute(db), { code: "unavailable" });
  });
  await sql`insert into things values (2)`.execute(db);
  await assert.rejects(sql`select nothing`.execute(db), { code: "42703" });
});

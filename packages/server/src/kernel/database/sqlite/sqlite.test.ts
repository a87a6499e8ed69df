/** SQLite in its thread: what other processes, large results and a full disk do to those who use it. */
import { longestPause } from "@caisson/testing";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { after, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CaissonError } from "@caisson/protocol";
import { Kysely, sql } from "kysely";
import { pino } from "pino";
import { sqliteDialect } from "./dialect.ts";
import { reserveSize, takeReserve, withReserve } from "./reserve-file.ts";

const log = pino({ level: "silent" });
const directory = mkdtempSync(join(tmpdir(), "caisson-sqlite-"));
after(() => rmSync(directory, { recursive: true, force: true }));

interface Tables {
  counters: { id: string; value: number; text: string | null };
}

let opened = 0;

async function open(
  t: TestContext,
  { home = join(directory, String(++opened)), statementTimeout = 8000, heapMiB = 256 } = {},
): Promise<{ db: Kysely<Tables>; path: string; reservePath: string }> {
  mkdirSync(home, { recursive: true });
  const [path, reservePath] = [join(home, "caisson.db"), join(home, "caisson.reserve")];
  const db = new Kysely<Tables>({
    dialect: sqliteDialect({ path, reservePath, statementTimeout: () => statementTimeout, heapMiB, log }),
  });
  t.after(() => db.destroy());
  await db.schema
    .createTable("counters")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("value", "integer", (column) => column.notNull())
    .addColumn("text", "text")
    .execute();
  await db.insertInto("counters").values({ id: "a", value: 0, text: null }).execute();
  return { db, path, reservePath };
}

const valueOf = async (db: Kysely<Tables>, id = "a") =>
  (await db.selectFrom("counters").select("value").where("id", "=", id).executeTakeFirst())?.value;

/** Another process that holds the lock for writers. @returns when it does */
async function lock(path: string, milliseconds: number): Promise<{ unlocked: Promise<unknown> }> {
  const program = `
    const { DatabaseSync } = require("node:sqlite");
    const database = new DatabaseSync(${JSON.stringify(path)});
    database.exec("BEGIN IMMEDIATE");
    console.log("locked");
    setTimeout(() => database.exec("COMMIT"), ${milliseconds});`;
  const holder = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  after(() => holder.kill());
  const unlocked = once(holder, "exit");
  await once(holder.stdout, "data");
  return { unlocked };
}

/** The longest time for which the event loop stood still, milliseconds. */
async function pauseDuring(work: () => Promise<unknown>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  await sleep(20);
  delay.enable();
  await work();
  await sleep(20);
  delay.disable();
  return delay.max / 1e6;
}

test("a lock of another process delays writes alone: neither reads nor the event loop", async (t) => {
  const { db, path } = await open(t);
  await lock(path, 1500);
  let readMilliseconds = 0;
  const started = performance.now();
  const pause = await pauseDuring(async () => {
    const written = db.updateTable("counters").set({ value: 7 }).execute();
    await sleep(50);
    const before = performance.now();
    assert.equal(await valueOf(db), 0);
    await sql`select 1`.execute(db);
    readMilliseconds = performance.now() - before;
    await written;
  });
  assert.ok(performance.now() - started > 1000, "the write waited for the lock");
  assert.ok(readMilliseconds < longestPause, `reads took ${readMilliseconds} ms`);
  assert.ok(pause < longestPause, `the event loop stood still for ${pause} ms`);
  assert.equal(await valueOf(db), 7);
});

test("a lock that is held for longer than the deadline is an error that keeps the code of SQLite", async (t) => {
  const { db, path } = await open(t, { statementTimeout: 800 });
  const { unlocked } = await lock(path, 2500);
  for (const write of [
    () => db.updateTable("counters").set({ value: 1 }).execute(),
    () => db.transaction().execute((trx) => trx.updateTable("counters").set({ value: 1 }).execute()),
  ])
    await assert.rejects(write(), (error: CaissonError) => {
      assert.equal(error.code, "unavailable");
      assert.equal((error.cause as { errcode: number }).errcode, 5);
      return true;
    });
  await unlocked;
  assert.equal(await valueOf(db), 0);
  await db.updateTable("counters").set({ value: 2 }).execute();
  assert.equal(await valueOf(db), 2);
});

test("transactions of users at the same time do not mix, and a failed one leaves nothing", async (t) => {
  const { db } = await open(t);
  const increment = (fail: boolean) =>
    db.transaction().execute(async (trx) => {
      const value = await valueOf(trx);
      await sleep(1);
      await trx
        .updateTable("counters")
        .set({ value: value! + 1 })
        .where("id", "=", "a")
        .execute();
      if (fail) throw new Error("given up");
    });
  const outcomes = await Promise.allSettled(Array.from({ length: 40 }, (_, index) => increment(index % 4 === 0)));
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 30);
  assert.equal(await valueOf(db), 30);
});

test("a violated constraint keeps its code", async (t) => {
  const { db } = await open(t);
  await assert.rejects(db.insertInto("counters").values({ id: "a", value: 1, text: null }).execute(), {
    code: "ERR_SQLITE_ERROR",
    errcode: 1555,
  });
});

test("a transaction that never ends costs the others a deadline, and no more", async (t) => {
  const { db } = await open(t, { statementTimeout: 300 });
  const ended = Promise.withResolvers<void>();
  const stuck = db.transaction().execute(() => ended.promise);
  await assert.rejects(db.updateTable("counters").set({ value: 1 }).execute(), { code: "unavailable" });
  ended.resolve();
  await stuck;
  await db.updateTable("counters").set({ value: 2 }).execute();
  assert.equal(await valueOf(db), 2);
});

const count = (to: number) =>
  sql<{ n: number }>`(with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < ${to})
    select max(n) as n from numbers)`;

test("a statement that takes long holds up neither the event loop nor its caller", async (t) => {
  const { db } = await open(t, { statementTimeout: 300 });
  const started = performance.now();
  const pause = await pauseDuring(() =>
    assert.rejects(db.selectFrom(count(4_000_000).as("counted")).select("n").execute(), {
      code: "unavailable",
      message: /did not answer within 300 ms/,
    }),
  );
  assert.ok(performance.now() - started < 1000);
  assert.ok(pause < longestPause, `the event loop stood still for ${pause} ms`);
  for (let tries = 0; (await valueOf(db).catch(() => undefined)) !== 0; tries++) assert.ok(tries < 60);
});

test("when the thread ends, what was under way fails with the cause, and the next statement has a new thread", async (t) => {
  // Enough for the thread itself, at any moment; far from enough for the result.
  const { db } = await open(t, { heapMiB: 48, statementTimeout: 60_000 });
  const large = () =>
    db
      .selectFrom(sql<{ text: string }>`(${rows(90_000)})`.as("large"))
      .selectAll()
      .execute();
  const lost = db.transaction().execute(async (trx) => {
    await trx.updateTable("counters").set({ value: 5 }).execute();
    await assert.rejects(large(), (error: CaissonError) => {
      assert.equal(error.code, "unavailable");
      assert.equal((error.cause as { code: string }).code, "ERR_WORKER_OUT_OF_MEMORY");
      return true;
    });
    await sleep(1100);
    assert.equal(await valueOf(db), 0);
    await trx.insertInto("counters").values({ id: "b", value: 1, text: null }).execute();
  });
  await assert.rejects(lost, { code: "unavailable", message: /transaction is lost/ });
  assert.equal(await valueOf(db, "b"), undefined);
  await db.updateTable("counters").set({ value: 6 }).execute();
  assert.equal(await valueOf(db), 6);
});

const rows = (number: number) =>
  sql`with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < ${number})
    select hex(zeroblob(1000)) || n as text from numbers`;

test("closing does first what was sent before", async (t) => {
  const { db, path } = await open(t);
  const written = db.updateTable("counters").set({ value: 9 }).execute();
  await sleep(0);
  await db.destroy();
  await written;
  await assert.rejects(valueOf(db), /destroyed/);
  const { db: again } = {
    db: new Kysely<Tables>({ dialect: sqliteDialect({ ...paths(path), statementTimeout: () => 1000, log }) }),
  };
  t.after(() => again.destroy());
  assert.equal(await valueOf(again), 9);
});

const paths = (path: string) => ({ path, reservePath: `${path}.reserve` });

test("on a full disk what may use the reserve is written, and the reserve is taken again", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("a file system of a fixed size is mounted by root");
  const home = join(directory, "full");
  mkdirSync(home);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", home]);
  t.after(() => execFileSync("umount", ["--lazy", home]));
  const { db, reservePath } = await open(t, { home });
  assert.equal(await takeReserve(reservePath, 4 * 2 ** 20), true);
  fillUp(home);
  const text = "x".repeat(100_000);
  const insert = (id: string) => db.insertInto("counters").values({ id, value: 1, text }).execute();
  const many = async () => {
    for (let index = 0; index < 20; index++) await insert(`ordinary ${index}`);
  };
  await assert.rejects(many(), { code: "resource_exhausted", wireCode: "DISK_FULL" });
  assert.equal(await reserveSize(reservePath), 4 * 2 ** 20, "what may not use the reserve leaves it alone");

  for (let index = 0; index < 5; index++) await withReserve(() => insert(`essential ${index}`));
  await withReserve(() =>
    db.transaction().execute(async (trx) => {
      await trx.updateTable("counters").set({ value: 2 }).where("id", "like", "essential %").execute();
      await trx.deleteFrom("counters").where("id", "like", "ordinary %").execute();
    }),
  );
  assert.equal(await valueOf(db, "essential 4"), 2);
  assert.ok((await reserveSize(reservePath)) < 4 * 2 ** 20);
  assert.equal(await takeReserve(reservePath, 4 * 2 ** 20), false, "there is no room for it");
  rmSync(join(home, "filler"));
  assert.equal(await takeReserve(reservePath, 4 * 2 ** 20), true);
  assert.equal(await reserveSize(reservePath), 4 * 2 ** 20);
});

/** Leaves no byte. */
function fillUp(home: string): void {
  const { bavail, bsize } = statfsSync(home);
  writeFileSync(join(home, "filler"), Buffer.alloc(bavail * bsize));
  assert.equal(statfsSync(home).bavail, 0);
}

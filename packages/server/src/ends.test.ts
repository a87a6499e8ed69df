/** Sandboxes end when nothing can be written: a locked database, a PostgreSQL that is gone or silent, a full disk. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { statfsSync, statSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { configSchema } from "@caisson/protocol";
import {
  longestPause,
  buildAgent,
  HostNode,
  startPostgres,
  until,
  WireClient,
  type ClientEnvironment,
} from "@caisson/testing";
import pg from "pg";
import { pino } from "pino";
import { createServer } from "./index.ts";

const log = pino({ level: "silent" });
const directory = await mkdtemp(join(tmpdir(), "caisson-ends-"));
let agent: string;

before(() => {
  agent = buildAgent(directory);
});
after(() => rm(directory, { recursive: true, force: true }));

const undone = new WeakMap<TestContext, (() => unknown)[]>();

/** Hooks of a test run in the order in which they were added; what was started last must end first. */
function undo(t: TestContext, step: () => unknown): void {
  const known = undone.get(t);
  if (known !== undefined) return void known.push(step);
  const steps = [step];
  undone.set(t, steps);
  t.after(async () => {
    for (const each of steps.toReversed()) await each();
  });
}

interface Setup {
  readonly home: string;
  readonly node: HostNode;
  readonly url: string;
  readonly env: ClientEnvironment;
  readonly close: () => Promise<void>;
}

async function start(t: TestContext, name: string, { databaseUrl }: { databaseUrl?: string } = {}): Promise<Setup> {
  const home = join(directory, name);
  await mkdir(home, { recursive: true });
  const node = new HostNode(
    agent,
    new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "volumes", "blobs"))),
  );
  const config = configSchema.parse({ database: { reserveBytes: 2 * 2 ** 20 }, sandbox: { sessionGrace: 2 } });
  const server = await createServer({ home, key: randomBytes(32), config, node, databaseUrl, log });
  const { url } = await server.start({ host: "127.0.0.1", port: 0 });
  const { token, org } = server.development;
  const env = { DENO_DEPLOY_ENDPOINT: url, DENO_SANDBOX_ENDPOINT: url, DENO_DEPLOY_TOKEN: token, DENO_DEPLOY_ORG: org };
  let closed: Promise<void> | undefined;
  const close = () => (closed ??= server.close("end"));
  undo(t, async () => {
    await close();
    await node.close();
  });
  return { home, node, url, env, close };
}

/** One whose client disconnects, one that is deleted, one whose time is over. */
async function three({ env }: Setup) {
  const [left, deleted, overdue] = await Promise.all([
    WireClient.open({ env, config: {} }),
    WireClient.open({ env, config: {} }),
    WireClient.open({ env, config: { stop_at_ms: Date.now() + 3_000 } }),
  ]);
  return { left, deleted, overdue, ids: [left, deleted, overdue].map(({ sandboxId }) => sandboxId) };
}

const rest = ({ url, env }: Setup, path: string, method = "GET") =>
  fetch(url + path, { method, headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` } });

async function statuses(setup: Setup): Promise<Record<string, string>> {
  const list = (await (await rest(setup, "/api/v2/sandboxes")).json()) as {
    id: string;
    status: string;
    stoppedAt: string | null;
  }[];
  assert.ok(list.every(({ status, stoppedAt }) => (status === "stopped") === (stoppedAt !== null)));
  return Object.fromEntries(list.map(({ id, status }) => [id, status]));
}

const noMachines = ({ node }: Setup) =>
  until(12_000, "the end of all machines", async () => (await node.machines.list()).length === 0 || undefined);

/** Phases as another process reads them. */
function phases({ home }: Setup): Record<string, string> {
  const database = new DatabaseSync(join(home, "caisson.db"), { readOnly: true });
  const rows = database.prepare("select id, phase from sandboxes").all() as { id: string; phase: string }[];
  database.close();
  return Object.fromEntries(rows.map(({ id, phase }) => [id, phase]));
}

const all = (ids: readonly string[], value: string) => Object.fromEntries(ids.map((id) => [id, value]));

test("while another process holds the lock of the database, sandboxes end and the server answers; they are recorded afterwards", async (t) => {
  const setup = await start(t, "locked");
  const { left, deleted, ids } = await three(setup);
  const program = `
    const { DatabaseSync } = require("node:sqlite");
    const database = new DatabaseSync(${JSON.stringify(join(setup.home, "caisson.db"))});
    database.exec("BEGIN IMMEDIATE");
    console.log("locked");
    setTimeout(() => database.exec("COMMIT"), 8000);`;
  const holder = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  undo(t, () => holder.kill());
  const unlocked = once(holder, "exit");
  await once(holder.stdout, "data");
  const health: number[] = [];
  const watching = new AbortController();
  undo(t, () => watching.abort());
  const watched = (async () => {
    while (!watching.signal.aborted) {
      const asked = performance.now();
      assert.equal((await fetch(`${setup.url}/healthz`)).status, 200);
      health.push(performance.now() - asked);
      await sleep(50);
    }
  })();
  left.socket.terminate();
  const asked = performance.now();
  const answer = await rest(setup, `/api/v3/sandbox/${deleted.sandboxId}`, "DELETE");
  assert.equal(answer.status, 204);
  assert.ok(performance.now() - asked < 4000, "the answer does not wait for the lock");
  await noMachines(setup);
  assert.deepEqual(await statuses(setup), all(ids, "stopped"));
  assert.equal(holder.exitCode, null, "the lock is still held");
  assert.deepEqual(phases(setup), all(ids, "running"));
  await unlocked;
  watching.abort();
  await watched;
  health.sort((a, b) => a - b);
  const [most, worst] = [health[Math.floor(health.length * 0.95)]!, health.at(-1)!];
  t.diagnostic(`healthz: ${health.length} answers, slowest ${Math.round(worst)} ms`);
  // One may be slow on a busy host. Waiting for the lock would take seconds.
  assert.ok(most < longestPause && worst < longestPause, `healthz took ${most} ms, and once ${worst} ms`);
  await until(
    15_000,
    "the records",
    () => Object.values(phases(setup)).every((phase) => phase === "stopped") || undefined,
  );
});

// Mostly they wait.
describe("without a database that can be written", { concurrency: true }, () => {
  for (const how of ["ended", "silent"] as const) {
    test(`while PostgreSQL is ${how}, sandboxes end; they are recorded when it is back`, async (t) => {
      const postgres = await startPostgres();
      undo(t, () => postgres.stop());
      const setup = await start(t, how, { databaseUrl: postgres.url });
      const { left, deleted, ids } = await three(setup);
      if (how === "ended") await postgres.interrupt();
      else postgres.freeze();
      left.socket.terminate();
      const asked = performance.now();
      const answer = await rest(setup, `/api/v3/sandbox/${deleted.sandboxId}`, "DELETE");
      assert.equal(answer.status, 204);
      t.diagnostic(`DELETE took ${Math.round(performance.now() - asked)} ms`);
      assert.ok(performance.now() - asked < 6000);
      await noMachines(setup);
      t.diagnostic(`all machines had ended after ${Math.round(performance.now() - asked)} ms`);
      if (how === "ended") await postgres.resume();
      else postgres.thaw();
      const client = new pg.Client(postgres.url);
      await client.connect();
      undo(t, () => client.end());
      await until(20_000, "the records", async () => {
        const { rows } = await client.query<{ phase: string }>("select phase from sandboxes");
        return (rows.length === 3 && rows.every(({ phase }) => phase === "stopped")) || undefined;
      });
      assert.deepEqual(await statuses(setup), all(ids, "stopped"));
      assert.equal((await fetch(`${setup.url}/healthz`)).status, 200);
    });
  }

  test("an end that could not be recorded before the server stopped is recorded by the next start", async (t) => {
    const postgres = await startPostgres();
    undo(t, () => postgres.stop());
    const setup = await start(t, "restarted", { databaseUrl: postgres.url });
    await three(setup);
    await postgres.interrupt();
    const stopping = performance.now();
    await setup.close();
    assert.ok(performance.now() - stopping < 8000);
    assert.deepEqual(await setup.node.machines.list(), []);
    await postgres.resume();
    const again = await start(t, "restarted", { databaseUrl: postgres.url });
    assert.deepEqual([...new Set(Object.values(await statuses(again)))], ["stopped"]);
  });

  test("with no byte free, sandboxes end and that is recorded", async (t) => {
    if (process.getuid?.() !== 0) return t.skip("a file system of a fixed size is mounted by root");
    const home = join(directory, "full");
    await mkdir(home);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=32m", "tmpfs", home]);
    undo(t, () => execFileSync("umount", ["--lazy", home]));
    const setup = await start(t, "full");
    const { left, deleted, ids } = await three(setup);
    const { bavail, bsize } = statfsSync(home);
    writeFileSync(join(home, "filler"), Buffer.alloc(bavail * bsize));
    // What happens to be free in the write-ahead log is used up as well.
    const database = new DatabaseSync(join(home, "caisson.db"));
    undo(t, () => database.close());
    assert.throws(() => {
      database.exec("create table if not exists filler (data blob)");
      for (;;) database.prepare("insert into filler values (randomblob(4000))").run();
    }, /full/);
    assert.equal(statfsSync(home).bavail, 0);
    left.socket.terminate();
    assert.equal((await rest(setup, `/api/v3/sandbox/${deleted.sandboxId}`, "DELETE")).status, 204);
    await noMachines(setup);
    await until(
      10_000,
      "the records",
      () => Object.values(phases(setup)).every((phase) => phase === "stopped") || undefined,
    );
    assert.deepEqual(await statuses(setup), all(ids, "stopped"));
    assert.ok(statSync(join(home, "caisson.reserve")).size < 2 * 2 ** 20, "the reserve was used for it");
  });
});

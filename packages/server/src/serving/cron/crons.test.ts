/** Cron jobs of a real Deno program that the real agent starts on this host, with the clock of the test. */
import assert from "node:assert/strict";
import { appendFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import type { CronJob } from "@caisson/api";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { newId } from "@caisson/protocol";
import { buildAgent, HostNode, until } from "@caisson/testing";
import { pino } from "pino";
import { appsService, appsSlice } from "../../apps/index.ts";
import { createSealer } from "../../kernel/sealing.ts";
import type { Slice } from "../../kernel/slice.ts";
import { revisionsService, revisionsSlice, type RevisionRow } from "../../revisions/index.ts";
import { production } from "../../revisions/timelines.ts";
import { openSlices, type TestSlices } from "../../testing/slices.ts";
import { Workloads } from "../../workloads/workloads.ts";
import { RevisionContents } from "../contents.ts";
import { Group } from "../group.ts";
import { Instance } from "../instance.ts";
import { Crons } from "./crons.ts";
import { cronsAllowed, requireNoJobs } from "./forbidden.ts";
import { preludeOption } from "./prelude.ts";
import { cronRoutes } from "./routes.ts";
import { CronStore } from "./store.ts";

/** Milliseconds after which a wait has failed, on the slowest host. */
const patience = 120_000;
const minute = 60_000;
const log = pino({ level: "silent" });
const start = Date.UTC(2026, 10, 30, 16, 0, 0);
let now = start;
let opened: TestSlices;
let node: HostNode;
let workloads: Workloads;
let group: Group;
let store: CronStore;
let crons: Crons;
let app: { id: string; org_id: string };
let socket: string;
const printed: string[] = [];

/** Each handler appends its name to `ran`; they fail while `fail` exists, and wait while `hold` does. */
const program = `
const exists = (path) => Deno.stat(path).then(() => true, () => false);
const run = (name) => async () => {
  await Deno.writeTextFile("ran", name + "\\n", { append: true });
  while (await exists("hold")) await new Promise((resolve) => setTimeout(resolve, 20));
  if (await exists("fail")) throw new Error("no luck");
};
Deno.cron("each minute", "* * * * *", { backoffSchedule: [1000, 5000] }, run("minute"));
Deno.cron("two hours", { hour: { every: 2 } }, run("hours"));
Deno.cron("wrong", "bogus", run("wrong"));
Deno.serve({ port: 0, hostname: "127.0.0.1" }, () => new Response("hello"));
`;

const newCrons = () =>
  new Crons({
    store,
    inInstance: (_, work, signal) => group.use(work, signal),
    timeout: patience,
    print: (_, level, message) => printed.push(`${level}: ${message}`),
    log,
    now: () => now,
    socket,
  });

const newGroup = () =>
  new Group({
    limits: () => ({
      target: 10,
      min: 0,
      max: 1,
      idle: 60_000,
      concurrency: 10,
      queue: 10,
      queueTimeout: patience,
      drainTimeout: patience,
    }),
    make: async () => {
      await rm(socket, { force: true });
      return new Instance({
        plan: {
          id: newId("ins", "ord"),
          kind: "instance",
          orgId: app.org_id,
          memory: 768,
          vcpus: 1,
          env: { PATH: process.env["PATH"] ?? "" },
          egress: { policy: {}, secrets: [] },
          disks: { volumes: [] },
        },
        program: {
          command: "deno",
          args: ["run", "-A", preludeOption(socket), "main.ts"],
          cwd: join(opened.home, "work"),
          file: "main.ts",
        },
        workloads,
        startTimeout: patience,
        stopTimeout: 5_000,
        workTimeout: 0,
        print: () => undefined,
        log,
      });
    },
    log,
  });

before(async () => {
  const routes: Slice = {
    name: "test",
    setup: ({ db, services }) => ({ routes: cronRoutes(services.use(appsService), new CronStore(db, "host")) }),
  };
  opened = await openSlices({ database: "SQLite", slices: [appsSlice, revisionsSlice, routes] });
  const { home, db, org, services } = opened;
  const work = join(home, "work");
  await mkdir(work);
  await writeFile(join(work, "main.ts"), program);
  node = new HostNode(buildAgent(home), new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "blobs"))));
  workloads = new Workloads({ node, log });
  socket = join(home, "cron.sock");
  store = new CronStore(db, node.id);
  group = newGroup();
  assert.equal((await opened.request("POST", "/api/v2/apps", { body: { slug: "one" } })).status, 200);
  app = (await services.use(appsService).require(org.id, "one"))!;
});
after(async () => {
  await crons.close();
  await group.close(0);
  await node.close();
  await opened.close();
});
beforeEach(() => {
  printed.length = 0;
});

const path = (name: string) => join(opened.home, "work", name);
const ran = async () => (await readFile(path("ran"), "utf8").catch(() => "")).trim().split("\n").filter(Boolean);
const jobs = async () => (await (await opened.request("GET", "/api/v2/apps/one/crons")).json()) as CronJob[];
const job = async () => (await jobs()).find(({ name }) => name === "each minute")!;
/** Ends when no job runs any more. */
const tick = async () => {
  await crons.tick();
  await until(patience, "the end of the runs", async () =>
    (await jobs()).every(({ running_since }) => running_since === null) ? true : undefined,
  );
  await crons.tick();
};
const iso = (at: number) => new Date(at).toISOString();

async function release(): Promise<RevisionRow> {
  const revisions = opened.services.use(revisionsService);
  const revision = await revisions.create({
    app,
    config: {},
    layers: [],
    env: [],
    labels: {},
    production: true,
    preview: false,
    retention: "auto",
  });
  await revisions.move(revision.id, { from: ["queued"], to: "succeeded" });
  const contents = new RevisionContents({ db: opened.db, sealer: createSealer(Buffer.alloc(32, 1)), node, log });
  await contents.store(revision.id, { tree: [], egress: { policy: {}, secrets: [] } });
  await revisions.timelines.activate(revision, production);
  return revision;
}

test("jobs are found when an instance listens; each runs once for each of its times", async () => {
  crons = newCrons();
  const revision = await release();
  const instance = await group.start();
  await crons.discover(revision.id, instance, (level, message) => printed.push(`${level}: ${message}`));
  assert.deepEqual(printed, [
    'error: The cron job "wrong" never runs: "bogus" is not a schedule in UTC with five fields.',
    "info: Cron jobs: each minute, two hours, wrong.",
  ]);
  await tick();
  assert.deepEqual(
    (await jobs()).map(({ name, schedule, next_run_at, last_run }) => [name, schedule, next_run_at, last_run]),
    [
      ["each minute", "* * * * *", iso(start + minute), null],
      ["two hours", "0 */2 * * *", iso(start + 120 * minute), null],
    ],
  );
  await tick();
  assert.deepEqual(await ran(), []);
  now = start + minute;
  await tick();
  await tick();
  assert.deepEqual(await ran(), ["minute"]);
  assert.equal((await job()).next_run_at, iso(start + 2 * minute));
  assert.deepEqual((await job()).last_run, { started_at: iso(now), ended_at: iso(now), error: null });
  assert.match(printed.at(-1)!, /^info: The cron job "each minute" ended after \d+\.\d s\.$/);
});

test("an app with `crons: false` has none: a revision with jobs fails, and jobs that come later do not run", async () => {
  const names = "each minute, two hours, wrong";
  await group.use(async (instance) => {
    await assert.rejects(requireNoJobs(instance, socket), {
      code: "invalid_argument",
      message: `The program registers cron jobs (${names}), but the app has \`crons: false\`. Remove the jobs, or allow them.`,
    });
    await requireNoJobs(instance, `${socket}.nobody`);
    await newCrons().discover("later", instance, (level, message) => printed.push(`${level}: ${message}`), false);
  }, AbortSignal.timeout(patience));
  assert.deepEqual(printed, [`error: Cron jobs that do not run, because the app has \`crons: false\`: ${names}.`]);
  assert.equal(await store.has("later"), false);
  assert.deepEqual([cronsAllowed({ config: "{}" }), cronsAllowed({ config: '{"crons":false}' })], [true, false]);
});

test("times that come while it runs are left out, and a time that was missed is made up once", async () => {
  await appendFile(path("hold"), "");
  now = start + 2 * minute;
  await crons.tick();
  await until(patience, "the run", async () => ((await ran()).length === 2 ? true : undefined));
  for (let i = 3; i <= 5; i++) {
    now = start + i * minute;
    await crons.tick();
  }
  await rm(path("hold"));
  await tick();
  assert.equal((await ran()).length, 2);
  assert.match(printed.at(-1)!, /left out 3 times/);
  assert.equal((await job()).next_run_at, iso(start + 6 * minute));
  now = start + 30 * minute;
  await tick();
  assert.equal((await ran()).length, 3);
  assert.equal((await job()).next_run_at, iso(start + 31 * minute));
});

test("a failed run is tried again by its backoff schedule, and then at its next time", async () => {
  await appendFile(path("fail"), "");
  now = start + 40 * minute;
  await tick();
  assert.deepEqual([(await job()).failed_attempts, (await job()).next_run_at], [1, iso(now + 1000)]);
  assert.equal(printed.at(-1), 'error: The cron job "each minute" failed: no luck. It is tried again in 1 s.');
  now += 1000;
  await tick();
  assert.deepEqual([(await job()).failed_attempts, (await job()).next_run_at], [2, iso(now + 5000)]);
  now += 5000;
  await tick();
  assert.deepEqual([(await job()).failed_attempts, (await job()).next_run_at], [0, iso(start + 41 * minute)]);
  assert.equal((await job()).last_run!.error, "no luck");
  assert.equal((await ran()).length, 6);
  await rm(path("fail"));
});

test("after a restart an interrupted run is tried again, also in a new instance", async () => {
  await appendFile(path("hold"), "");
  now = start + 50 * minute;
  await crons.tick();
  await until(patience, "the run", async () => ((await ran()).length === 7 ? true : undefined));
  await crons.close();
  await group.close(0).catch(() => undefined);
  assert.notEqual((await job()).running_since, null);
  await rm(path("hold"));
  group = newGroup();
  crons = newCrons();
  await crons.tick();
  assert.equal(
    printed.at(-1),
    'error: The cron job "each minute" failed: The server restarted while it ran. It is tried again in 1 s.',
  );
  now += 1000;
  await tick();
  assert.equal((await ran()).length, 8);
  assert.deepEqual([(await job()).failed_attempts, (await job()).last_run!.error], [0, null]);
});

test("the next revision keeps the times of a job that it has as well, and takes those of the others away", async () => {
  const before = (await job()).next_run_at;
  const next = await release();
  await store.register(next.id, [{ name: "each minute", schedule: "* * * * *", backoffSchedule: [] }]);
  await crons.tick();
  assert.deepEqual(
    (await jobs()).map(({ name, next_run_at }) => [name, next_run_at]),
    [["each minute", before]],
  );
  // It has no retries now.
  await appendFile(path("fail"), "");
  now = Date.parse(before);
  await tick();
  assert.deepEqual([(await job()).failed_attempts, (await job()).last_run!.error], [0, "no luck"]);
  await rm(path("fail"));
});

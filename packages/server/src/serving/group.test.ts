/** Instances of a revision, with real programs that the real agent starts as processes of this host. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { newId, type CaissonError } from "@caisson/protocol";
import { buildAgent, HostNode, until } from "@caisson/testing";
import { pino } from "pino";
import { Workloads } from "../workloads/workloads.ts";
import { Group, type GroupLimits } from "./group.ts";
import { Instance } from "./instance.ts";

const log = pino({ level: "silent" });
let home: string;
let node: HostNode;
let workloads: Workloads;
let group: Group;
const printed: string[] = [];
let made = 0;

before(async () => {
  home = await mkdtemp(join(tmpdir(), "caisson-group-"));
  node = new HostNode(buildAgent(home), new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "blobs"))));
  workloads = new Workloads({ node, log });
});
afterEach(async () => {
  await group.close(0);
  assert.deepEqual(await node.machines.list(), []);
  await rm(join(home, "go"), { force: true });
  printed.length = 0;
  made = 0;
});
after(async () => {
  await node.close();
  await rm(home, { recursive: true });
});

/** Milliseconds after which a wait has failed, on the slowest host. */
const patience = 120_000;

/** Answers with its pid and a number: `/ms/N` after so long, `/held` when the file `go` exists; `/crash` ends it. */
const server = `
const { createServer } = require("node:http");
const marks = require("node:fs");
let n = 0;
createServer(async (request, response) => {
  if (request.url === "/crash") { console.error("the last words"); process.exit(3); }
  while (request.url === "/held" && !marks.existsSync("go")) await new Promise((resolve) => setTimeout(resolve, 20));
  await new Promise((resolve) => setTimeout(resolve, Number(request.url.split("/")[2] ?? 0)));
  response.end(process.pid + " " + ++n);
}).listen(0, "127.0.0.1", () => console.log("listens"));
process.on("SIGINT", () => { marks.appendFileSync("stopped", process.pid + "\\n"); process.exit(0); });
`;

interface Also extends Partial<GroupLimits> {
  readonly startTimeout?: number;
  readonly stopTimeout?: number;
  readonly workTimeout?: number;
}

async function groupOf(
  code: string,
  { startTimeout = patience, stopTimeout = patience, workTimeout = 0, ...limits }: Also = {},
) {
  await writeFile(join(home, "main.cjs"), code);
  group = new Group({
    limits: () => ({
      target: 7,
      min: 0,
      max: 3,
      idle: 60_000,
      concurrency: 10,
      queue: 100,
      queueTimeout: patience,
      drainTimeout: patience,
      ...limits,
    }),
    make: async () => {
      made++;
      return new Instance({
        plan: {
          id: newId("ins", "ord"),
          kind: "instance",
          orgId: "org",
          memory: 768,
          vcpus: 1,
          env: {},
          egress: { policy: {}, secrets: [] },
          disks: { volumes: [] },
        },
        program: { command: process.execPath, args: ["main.cjs"], cwd: home, file: "main.cjs" },
        workloads,
        startTimeout,
        stopTimeout,
        workTimeout,
        print: ({ level, message }) => printed.push(`${level}: ${message}`),
        log,
      });
    },
    log,
  });
}

async function ask(path = "/"): Promise<string> {
  const stream = await group.connect(AbortSignal.timeout(patience));
  return new Promise((resolve, reject) => {
    const sent = request({ path, createConnection: () => stream }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () => {
        stream.destroy();
        resolve(body);
      });
    });
    sent.on("error", reject).end();
  });
}

/** Lets `/held` answer. */
const release = () => writeFile(join(home, "go"), "");

const pidOf = (answer: string) => answer.split(" ")[0];

test("50 requests at once to nothing start one instance, which queues what is above its limit, and none fails", async () => {
  await groupOf(server, { max: 1 });
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask("/ms/20")));
  assert.equal(new Set(answers.map(pidOf)).size, 1);
  assert.equal(new Set(answers).size, 50);
  assert.equal(made, 1);
  assert.equal(group.waiting, 0);
  await until(patience, "its output", () => (printed.length > 0 ? true : undefined));
  assert.deepEqual(printed, ["info: listens"]);
});

test("a load above the target starts more instances, and they end when nobody asks", async () => {
  await writeFile(join(home, "stopped"), "");
  await groupOf(server, { idle: 500 });
  const asked = Promise.all(Array.from({ length: 30 }, () => ask("/held")));
  await until(patience, "three instances", async () => {
    group.scale();
    await sleep(100);
    return [...group.instances].filter(({ listening }) => listening).length === 3 ? true : undefined;
  });
  await release();
  assert.equal((await asked).length, 30);
  await until(patience, "no instance", async () => {
    group.scale();
    await sleep(100);
    return group.idle ? true : undefined;
  });
  assert.deepEqual(await node.machines.list(), []);
  // Each got SIGINT and ended by itself.
  assert.equal((await readFile(join(home, "stopped"), "utf8")).trim().split("\n").length, 3);
});

test("a program that crashes is replaced, its last words are kept, and the pauses grow", async () => {
  await groupOf(server);
  const first = pidOf(await ask());
  await assert.rejects(ask("/crash"));
  // The group has heard of it before.
  await Promise.all([...group.instances].map(({ ended }) => ended));
  await assert.rejects(
    group.connect(new AbortController().signal),
    /does not start\. It is tried again in 1 s\. The program ended: exit code 3/,
  );
  assert.deepEqual(printed, ["info: listens", "error: the last words", "error: The program ended: exit code 3."]);
  const next = await until(patience, "another instance", () => ask().catch(() => sleep(100, undefined)));
  assert.notEqual(pidOf(next), first);
});

test("one that never listens, and one that ends at once, are explained with their output", async () => {
  await groupOf(`console.log("I am busy"); setInterval(() => {}, 1000);`, { startTimeout: 1_000 });
  await assert.rejects(ask(), (error: CaissonError) => {
    assert.equal(error.code, "unavailable");
    // Within this second a slow host may not even have begun it.
    assert.match(error.message, /listen on a port within 1 s\. (Its last output:\nI am busy|It printed nothing\.)$/);
    return true;
  });
  // It counts once, and is not forgotten before the next attempt.
  await assert.rejects(group.connect(new AbortController().signal), /It is tried again in 1 s\./);
  await until(patience, "the end", () => (group.instances.size === 0 ? true : undefined));
  assert.equal(group.idle, false);
  await group.close(0);
  await groupOf(`console.error("no such database"); process.exit(1)`);
  await assert.rejects(group.start(), /ended before it listened: exit code 1\. Its last output:\nno such database/);
});

test("requests under way end before their instance does, new ones are refused, and what takes too long is cut", async () => {
  await groupOf(server);
  await ask();
  const slow = ask("/ms/1500");
  await until(patience, "the request", () => ([...group.instances][0]!.active === 1 ? true : undefined));
  const closed = group.close();
  await assert.rejects(group.connect(new AbortController().signal), { code: "gone" });
  assert.match(await slow, /^\d+ 2$/);
  await closed;
  await groupOf(server, { drainTimeout: 200 });
  await ask();
  const cut = ask("/ms/30000");
  cut.catch(() => undefined);
  await until(patience, "the request", () => ([...group.instances][0]!.active === 1 ? true : undefined));
  await group.close();
  await assert.rejects(cut);
});

test("after its last response a program may work on for the time that it is given, and no longer", async () => {
  await groupOf(server, { workTimeout: 700 });
  await ask();
  const before = performance.now();
  await ask();
  await group.close();
  assert.ok(performance.now() - before >= 690);
  await groupOf(server, { workTimeout: patience });
  await ask();
  // What is deleted does not work on.
  await group.close(0);
});

test("no request fails while one group takes over from another, again and again", async () => {
  await groupOf(server);
  await group.start();
  const going = new AbortController();
  let answers = 0;
  const load = Array.from({ length: 8 }, async () => {
    while (!going.signal.aborted) {
      await ask("/ms/5").catch((error: CaissonError) => {
        // The caller looks the group up again.
        if (error.code !== "gone") throw error;
      });
      answers++;
    }
  });
  for (let round = 0; round < 4; round++) {
    const former = group;
    await groupOf(server);
    const next = group;
    group = former;
    await next.start();
    group = next;
    await former.close();
  }
  going.abort();
  await Promise.all(load);
  assert.ok(answers > 50);
});

test("a program that ignores SIGINT is killed, and a full queue refuses", async () => {
  await groupOf(`process.on("SIGINT", () => undefined); ${server.replace(/process\.on\("SIGINT".*/, "")}`, {
    stopTimeout: 300,
    concurrency: 1,
    queue: 1,
    max: 1,
  });
  await ask();
  const [held, waits] = [ask("/held"), ask()];
  await until(patience, "the second", () => (group.waiting === 1 ? true : undefined));
  await assert.rejects(group.connect(new AbortController().signal), { code: "resource_exhausted" });
  await release();
  await Promise.all([held, waits]);
  const streams: Duplex[] = [await group.connect(new AbortController().signal)];
  const left = new AbortController();
  const waiting = group.connect(left.signal);
  left.abort(new Error("the visitor left"));
  await assert.rejects(waiting, /left/);
  assert.equal(group.waiting, 0);
  streams[0]!.destroy();
  await group.close();
});

/** Builds that go wrong, each with its reason and nothing left; what builds keep for the next one; commands before a deployment. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { holdings, startPlatform, until, type PlatformProcess } from "@caisson/testing";
import { addressOf, beginAssets, buildLog, buildSays, deployAssets, ended } from "./assets.ts";
import { visitor } from "./visit.ts";

const home = await mkdtemp(join(tmpdir(), "csn-"));
let platform: PlatformProcess;
let client: Client;
const site = { runtime: { type: "static", cwd: "dist" } };
const files = { "page.txt": "<h1>page</h1>" };
const makePage = "mkdir -p dist && cp page.txt dist/index.html";
const timeout = 1_200_000;

async function start(serving: object = {}) {
  const config = {
    serving: { idleTimeout: 5, buildMemory: 768, builds: 4, buildTimeout: 1000, ...serving },
    pool: { size: 0 },
  };
  platform = await startPlatform({ home, config });
  Object.assign(process.env, platform.env);
  client = new Client();
}
before(
  async () => {
    await start();
    await client.apps.create({ slug: "one" });
    await client.apps.create({ slug: "two" });
  },
  { timeout: 240_000 },
);
after(async () => {
  await platform.stop();
  assert.deepEqual(holdings(home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
  await rm(home, { recursive: true, force: true });
});

const build = (command: string, also: object = {}) => ({ config: { build: command, ...site, ...also } });

/** Waits until a stage runs, or everything has ended. @returns the stages that ran by then */
async function reaches(id: string, stage: "preparing" | "building" | "deploying"): Promise<string> {
  let stages = "";
  for await (const progress of client.revisions.progress(id)) {
    stages = (["preparing", "building", "deploying"] as const).map((name) => `${name} ${progress[name].status}`).join();
    if (progress[stage].status === "running") break;
  }
  return stages;
}

/** What builds run in, and what they read, is gone; of the revisions that ended, only those that succeeded have an image. */
async function nothingLeft(): Promise<void> {
  const apps = join(home, "apps");
  let left: string[] = [];
  await until(120_000, "nothing of a build", async () => {
    left = holdings(home).processes.filter((process) => process.includes("qemu-system"));
    left.push(...(await readdir(join(apps, "drafts"))), ...(await readdir(join(apps, "contents/drafts"))));
    for (const name of await readdir(join(apps, "images"))) {
      const revision = await client.revisions.get(name.replace(/\.qcow2$/, "")).catch(() => undefined);
      if (revision?.status !== "succeeded") left.push(name);
    }
    return left.length === 0 ? true : undefined;
  }).catch((error: unknown) => assert.fail(`${String(error)}: ${left.join(", ")}`));
}

test("builds that eat memory, that make too much, and that are cancelled", { timeout }, async (t) => {
  const eater = await beginAssets(client, "one", files, build("tail /dev/zero"));
  const large = await beginAssets(client, "one", files, build("truncate -s 1100M large"));
  const sleeper = await beginAssets(client, "one", files, build("echo sleeps; sleep 10000"));
  await buildSays(client, sleeper, "sleeps");
  const before = performance.now();
  await client.revisions.cancel(sleeper);
  const cancelled = await ended(client, sleeper);
  t.diagnostic(`cancelled within ${Math.round(performance.now() - before)} ms`);
  assert.deepEqual([cancelled.status, cancelled.failure_reason], ["failed", "cancelled"]);
  const [eaten, grown] = await Promise.all([eater, large].map((id) => ended(client, id)));
  assert.deepEqual([eaten!.status, eaten!.failure_reason], ["failed", "error"]);
  assert.match(eaten!.failure_message!, /The command `tail \/dev\/zero` failed: (exit code \d+|SIG\w+)/);
  assert.deepEqual([grown!.status, grown!.failure_reason], ["failed", "error"]);
  assert.match(grown!.failure_message!, /The files of the app have more than 1000000000 bytes, the limit/);
  await nothingLeft();
});

test("what one build downloads is there for the next one of the same app alone", { timeout }, async () => {
  const download = `echo packages > "$npm_config_cache.txt"; ${makePage}`;
  const first = await deployAssets(client, "one", files, build(download));
  assert.deepEqual([first.status, first.failure_message], ["succeeded", null]);
  const reads = build(`cat "$npm_config_cache.txt"; ${makePage}`);
  const [again, other] = await Promise.all([
    deployAssets(client, "one", files, reads),
    deployAssets(client, "two", files, build(`test -e "$npm_config_cache.txt" && exit 7; ${makePage}`)),
  ]);
  assert.deepEqual([again.failure_message, again.status], [null, "succeeded"]);
  assert.deepEqual([other.failure_message, other.status], [null, "succeeded"]);
  assert.match(await buildLog(client, again.id), /^building: packages$/m);
  await nothingLeft();
});

test("a command before the deployment decides whether it is served", { timeout }, async () => {
  const predeploy = 'echo "$DENO_TIMELINE on $(ls)"';
  const good = await deployAssets(client, "two", files, build(makePage, { predeploy }));
  assert.deepEqual([good.failure_message, good.status], [null, "succeeded"]);
  assert.match(await buildLog(client, good.id), /^deploying: production on dist$/m);
  const bad = await deployAssets(client, "two", files, build(makePage, { predeploy: "echo no database >&2; exit 4" }));
  assert.equal(bad.status, "failed");
  assert.match(bad.failure_message!, /The command `echo no database >&2; exit 4` failed: exit code 4/);
  const [now] = await Array.fromAsync((await client.revisions.list("two", { status: "succeeded" } as never)) as never);
  assert.equal((now as { id: string }).id, good.id);
  await nothingLeft();
});

test(
  "the server is killed in every stage: builds go on, or fail with a reason; what was served is",
  { timeout },
  async () => {
    const served = (await deployAssets(client, "one", files, build(makePage))).id;
    const sandbox = await Sandbox.create();
    await sandbox.fs.writeTextFile("/home/app/main.ts", "Deno.serve(() => new Response('x'))");
    const local = await sandbox.deploy("two", {
      production: true,
      build: { mode: "local", buildCommand: "echo sleeps; sleep 10000", entrypoint: "main.ts" },
    } as never);
    await buildSays(client, local.id, "sleeps");
    const installing = await beginAssets(client, "two", files, build(makePage, { install: "echo installs; sleep 20" }));
    const building = await beginAssets(client, "two", files, build(`echo builds; sleep 20; ${makePage}`));
    const deploying = await beginAssets(
      client,
      "two",
      files,
      build(makePage, { predeploy: "echo again >> $HOME/times; cat $HOME/times; sleep 20" }),
    );
    await Promise.all([
      buildSays(client, installing, "installs"),
      buildSays(client, building, "builds"),
      buildSays(client, deploying, "again"),
    ]);
    // All places are taken.
    const queued = await beginAssets(client, "two", files, build(makePage));
    await platform.crash();
    await start();
    const lost = await ended(client, local.id);
    assert.deepEqual(
      [lost.status, lost.failure_message],
      ["failed", "The server restarted before it had all files. Deploy again."],
    );
    for (const id of [installing, building, deploying, queued]) {
      const resumed = await ended(client, id);
      assert.deepEqual([resumed.failure_message, resumed.status], [null, "succeeded"]);
    }
    assert.match(await buildLog(client, deploying), /^deploying: again$[^]*^deploying: again$/m);
    const answer = await visitor(home)(await addressOf(client, served));
    assert.deepEqual([answer.status, answer.body], [200, "<h1>page</h1>"]);
    await nothingLeft();
  },
);

test("the server is killed again and again while one build goes on", { timeout }, async (t) => {
  const id = await beginAssets(client, "one", files, build(`sleep 3; ${makePage}`));
  for (const stage of ["preparing", "building", "deploying"] as const) {
    const stages = await reaches(id, stage);
    await platform.crash();
    t.diagnostic(`killed with ${stages}`);
    await start();
  }
  const done = await ended(client, id);
  assert.deepEqual([done.failure_message, done.status], [null, "succeeded"]);
  assert.equal((await visitor(home)(await addressOf(client, id))).body, "<h1>page</h1>");
  await nothingLeft();
});

test("a build that hangs ends when its time is over, and what was served goes on", { timeout }, async () => {
  await platform.stop();
  await start({ buildTimeout: 45 });
  const served = (await client.revisions.list("one", { status: "succeeded" } as never)) as never;
  const [{ id }] = (await Array.fromAsync(served)) as [{ id: string }];
  const hangs = await deployAssets(client, "one", files, build("sleep 10000"));
  assert.deepEqual([hangs.status, hangs.failure_reason], ["failed", "timed_out"]);
  assert.equal(hangs.failure_message, "The build took longer than 45 s, the limit.");
  assert.equal((await visitor(home)(await addressOf(client, id))).body, "<h1>page</h1>");
  await nothingLeft();
  await client.apps.delete("one");
  await client.apps.delete("two");
});

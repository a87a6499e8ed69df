/** Builds that go wrong, each with its reason and nothing left; what builds keep for the next one; commands before a deployment. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { holdings, startPlatform, until, type PlatformProcess } from "@caisson/testing";
import { addressOf, beginAssets, buildLog, deployAssets, ended } from "./assets.ts";
import { visitor } from "./visit.ts";

const home = await mkdtemp(join(tmpdir(), "csn-"));
let platform: PlatformProcess;
let client: Client;
const site = { runtime: { type: "static", cwd: "dist" } };
const files = { "page.txt": "<h1>page</h1>" };
const makePage = "mkdir -p dist && cp page.txt dist/index.html";

async function start(serving: object) {
  const config = { serving: { idleTimeout: 5, buildMemory: 512, builds: 4, ...serving }, pool: { size: 0 } };
  platform = await startPlatform({ home, config });
  Object.assign(process.env, platform.env);
  client = new Client();
}
before(
  async () => {
    await start({});
    await client.apps.create({ slug: "one" });
  },
  { timeout: 240_000 },
);
after(async () => {
  await platform.stop();
  assert.deepEqual(holdings(home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
  await rm(home, { recursive: true, force: true });
});

const build = (command: string, also: object = {}) => ({ config: { build: command, ...site, ...also } });
const stageOf = async (id: string, stage: string) => {
  const { progress } = (await client.revisions.get(id)) as unknown as { progress?: Record<string, { status: string }> };
  return progress?.[stage]?.status;
};

/** What builds run in, and what they read, is gone. */
async function nothingLeft(): Promise<void> {
  await until(60_000, "no machine of a build", () => {
    const machines = holdings(home).processes.filter((process) => process.includes("qemu-system"));
    return machines.length === 0 ? true : undefined;
  });
  const images = await readdir(home, { recursive: true });
  assert.deepEqual(
    images.filter((path) => /(^|\/)(src|cache)[a-z][0-9a-z]{11}/.test(path)),
    [],
  );
}

test("a build that eats memory, one that is cancelled, and one that makes too much", { timeout: 900_000 }, async () => {
  const eater = await beginAssets(client, "one", files, build("tail /dev/zero"));
  const large = await beginAssets(client, "one", files, build("truncate -s 1100M large"));
  const sleeper = await beginAssets(client, "one", files, build("echo sleeps; sleep 10000"));
  await until(300_000, "the sleeper", async () => ((await buildLog1(sleeper)) ? true : undefined), 500);
  await client.revisions.cancel(sleeper);
  const [eaten, grown, cancelled] = await Promise.all([eater, large, sleeper].map((id) => ended(client, id)));
  assert.deepEqual([eaten!.status, eaten!.failure_reason], ["failed", "error"]);
  assert.match(eaten!.failure_message!, /The command `tail \/dev\/zero` failed: (exit code \d+|SIG\w+)/);
  assert.deepEqual([grown!.status, grown!.failure_reason], ["failed", "error"]);
  assert.match(grown!.failure_message!, /The files of the app have more than 1000000000 bytes, the limit/);
  assert.deepEqual([cancelled!.status, cancelled!.failure_reason], ["failed", "cancelled"]);
  await nothingLeft();
});

/** Whether the log says that the command runs. The live log would not end. */
async function buildLog1(id: string): Promise<boolean> {
  const answer = await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/api/v2/revisions/${id}/build_logs`, {
    headers: { authorization: `Bearer ${platform.env.DENO_DEPLOY_TOKEN}`, accept: "application/x-ndjson" },
    signal: AbortSignal.timeout(3_000),
  });
  let text = "";
  try {
    for await (const piece of answer.body!.pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (text.includes('"sleeps"')) return true;
    }
  } catch {
    // Its time is over.
  }
  return text.includes('"sleeps"');
}

test("what one build downloads is there for the next one of the same app alone", { timeout: 900_000 }, async () => {
  await client.apps.create({ slug: "two" });
  const download = `echo packages > "$npm_config_cache.txt"; ${makePage}`;
  const first = await deployAssets(client, "one", files, build(download));
  assert.deepEqual([first.status, first.failure_message], ["succeeded", null]);
  const reads = build(`cat "$npm_config_cache.txt"; ${makePage}`);
  const [again, other] = await Promise.all([
    deployAssets(client, "one", files, reads),
    deployAssets(client, "two", files, build(`test -e "$npm_config_cache.txt" && exit 7; ${makePage}`)),
  ]);
  assert.deepEqual([again.status, other.status, other.failure_message], ["succeeded", "succeeded", null]);
  assert.match(await buildLog(client, again.id), /^building: packages$/m);
  await nothingLeft();
});

test("a command before the deployment decides whether it is served", { timeout: 900_000 }, async () => {
  const before = 'echo "$DENO_TIMELINE on $(ls)"';
  const good = await deployAssets(client, "two", files, build(makePage, { predeploy: before }));
  assert.deepEqual([good.status, good.failure_message], ["succeeded", null]);
  assert.match(await buildLog(client, good.id), /^deploying: production on dist$/m);
  const bad = await deployAssets(client, "two", files, build(makePage, { predeploy: "echo no database >&2; exit 4" }));
  assert.equal(bad.status, "failed");
  assert.match(bad.failure_message!, /The command `echo no database >&2; exit 4` failed: exit code 4/);
  const [now] = await Array.fromAsync((await client.revisions.list("two", { status: "succeeded" } as never)) as never);
  assert.equal((now as { id: string }).id, good.id);
});

test("the server is killed during builds: they begin again, or fail with a reason", { timeout: 900_000 }, async () => {
  const sandbox = await Sandbox.create();
  await sandbox.fs.writeTextFile("/home/app/main.ts", "Deno.serve(() => new Response('x'))");
  const local = await sandbox.deploy("two", {
    production: true,
    build: { mode: "local", buildCommand: "sleep 10000", entrypoint: "main.ts" },
  } as never);
  const slow = await beginAssets(client, "one", files, build(`echo sleeps; sleep 15; ${makePage}`));
  await until(300_000, "the build", async () => ((await buildLog1(slow)) ? true : undefined), 500);
  await until(120_000, "the other", async () =>
    (await stageOf(local.id, "preparing")) !== "pending" ? true : undefined,
  );
  await platform.crash();
  await start({ buildTimeout: 60 });
  const lost = await ended(client, local.id);
  assert.deepEqual(
    [lost.status, lost.failure_message],
    ["failed", "The server restarted before it had all files. Deploy again."],
  );
  const resumed = await ended(client, slow);
  assert.deepEqual([resumed.status, resumed.failure_message], ["succeeded", null]);
  const answer = await visitor(home)(await addressOf(client, slow));
  assert.deepEqual([answer.status, answer.body], [200, "<h1>page</h1>"]);
});

test("a build that hangs ends when its time is over, and what was served goes on", { timeout: 900_000 }, async () => {
  const hangs = await deployAssets(client, "one", files, build("sleep 10000"));
  assert.deepEqual([hangs.status, hangs.failure_reason], ["failed", "timed_out"]);
  assert.equal(hangs.failure_message, "The build took longer than 60 s, the limit.");
  await nothingLeft();
  await client.apps.delete("one");
  await client.apps.delete("two");
});

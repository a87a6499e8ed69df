/** What takes long: builds in machines and in the sandbox, static sites, zero and back, and a server that is killed while it serves. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { holdings, startPlatform, until, type PlatformProcess } from "@caisson/testing";
import { visitor } from "./visit.ts";

const config = { serving: { idleTimeout: 5, drainTimeout: 3 }, pool: { size: 1 } };
const home = await mkdtemp(join(tmpdir(), "csn-"));
let platform: PlatformProcess;
let client: Client;
let visit: ReturnType<typeof visitor>;

async function start() {
  platform = await startPlatform({ home, config });
  Object.assign(process.env, platform.env);
  client = new Client();
  visit = visitor(home);
}
before(start, { timeout: 240_000 });
after(async () => {
  await platform.stop();
  assert.deepEqual(holdings(home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
  await rm(home, { recursive: true, force: true });
});

interface Revision {
  readonly id: string;
  readonly status: string;
  readonly failure_message: string | null;
}

async function ended(id: string): Promise<Revision> {
  return until(
    280_000,
    "the end of the build",
    async () => {
      const revision = (await client.revisions.get(id)) as unknown as Revision;
      return ["succeeded", "failed"].includes(revision.status) ? revision : undefined;
    },
    250,
  );
}

async function addressOf(id: string): Promise<string> {
  const [timeline] = (await client.revisions.timelines(id)) as unknown as { domains: { domain: string }[] }[];
  return timeline!.domains[0]!.domain;
}

async function metric(name: string): Promise<number> {
  const answer = await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/metrics`, {
    headers: { authorization: `Bearer ${platform.env.DENO_DEPLOY_TOKEN}` },
  });
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(await answer.text())?.[1]);
}

async function deployAssets(app: string, assets: Record<string, string>, also: object): Promise<Revision> {
  const revision = await client.apps.deploy(app, {
    assets: Object.fromEntries(
      Object.entries(assets).map(([path, content]) => [path, { kind: "file", encoding: "utf-8", content }]),
    ),
    production: true,
    ...also,
  } as never);
  return ended((revision as unknown as Revision).id);
}

test("a static site is built in a machine, and served without one", { timeout: 290_000 }, async () => {
  await client.apps.create({ slug: "site" });
  const revision = await deployAssets(
    "site",
    { "index.src": "<h1>built</h1>" },
    {
      config: {
        install: "echo installing; test $CI = true",
        build: "mkdir dist && cp index.src dist/index.html && ln -s index.html dist/link.html",
        runtime: { type: "static", cwd: "dist", spa: true },
      },
    },
  );
  assert.deepEqual([revision.status, revision.failure_message], ["succeeded", null]);
  const domain = await addressOf(revision.id);
  assert.equal((await visit(domain)).body, "<h1>built</h1>");
  const { headers } = await visit(domain, "/any/route");
  assert.equal(headers["content-type"], "text/html; charset=utf-8");
  assert.equal((await visit(domain, "/", { "if-none-match": String(headers["etag"]) })).status, 304);
  assert.equal(await metric("caisson_app_instances"), 0);
  const failed = await deployAssets(
    "site",
    { "index.html": "x" },
    { config: { build: "echo no room >&2; exit 9", runtime: { type: "static", cwd: "" } } },
  );
  assert.match(failed.failure_message!, /The command `echo no room >&2; exit 9` failed: exit code 9/);
  assert.equal((await visit(domain)).body, "<h1>built</h1>");
});

test(
  "mode local builds in the sandbox; then to zero, and 50 requests start one instance",
  { timeout: 290_000 },
  async () => {
    await client.apps.create({ slug: "local" });
    const sandbox = await Sandbox.create();
    await sandbox.fs.writeTextFile("/home/app/source.ts", `Deno.serve(() => new Response(Deno.args[0] + Deno.pid));`);
    const build = await sandbox.deploy("local", {
      production: true,
      build: { mode: "local", buildCommand: "cp source.ts main.ts", entrypoint: "main.ts", args: ["built "] },
    } as never);
    const done = await ended(build.id);
    assert.deepEqual([done.status, done.failure_message], ["succeeded", null]);
    await sandbox.kill();
    const domain = await addressOf(build.id);
    assert.match((await visit(domain)).body, /^built \d+$/);
    await until(60_000, "zero instances", async () =>
      (await metric("caisson_app_instances")) === 0 ? true : undefined,
    );
    const answers = await Promise.all(Array.from({ length: 50 }, () => visit(domain)));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    assert.equal(new Set(answers.map(({ body }) => body)).size, 1);
  },
);

test(
  "the server is killed while it serves: the app answers again, and nothing is left",
  { timeout: 290_000 },
  async () => {
    const revisions = await Array.fromAsync(await client.revisions.list("local"));
    const { id } = revisions[0] as unknown as Revision;
    const domain = await addressOf(id);
    assert.equal((await visit(domain)).status, 200);
    await platform.crash();
    await start();
    assert.match((await visit(await addressOf(id))).body, /^built \d+$/);
    await client.apps.delete("local");
    await client.apps.delete("site");
  },
);

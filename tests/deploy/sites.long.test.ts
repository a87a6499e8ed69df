/** Static sites of frameworks, built from packages of npm: in a machine, and in a sandbox through its policy. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { Client, Sandbox } from "@deno/sandbox";
import { startPlatform, type PlatformProcess } from "@caisson/testing";
import { registriesOfThisHost, type Registry } from "../egress/world/registries.ts";
import { addressOf, buildLog, deployAssets, ended } from "./assets.ts";
import { visitor } from "./visit.ts";

const run = promisify(execFile);
const timeout = 1_800_000;
let npm: Registry;
let platform: PlatformProcess;
let client: Client;
let visit: ReturnType<typeof visitor>;

before(
  async () => {
    ({ npm } = await registriesOfThisHost());
    platform = await startPlatform({ config: { pool: { size: 0 }, serving: { buildTimeout: 1700 } } });
    Object.assign(process.env, platform.env);
    client = new Client();
    visit = visitor(platform.home);
  },
  { timeout: 240_000 },
);
after(() => platform?.stop(30_000));

const variables = () => Object.entries(npm.env).map(([name, value]) => ({ key: name, value }));

test("a site of Vite, installed and built in a machine", { timeout }, async () => {
  // An authority of this host's own that is before the registry is unknown in a machine of a build, whose network is unrestricted.
  const strict = { key: "npm_config_strict_ssl", value: "false" };
  await client.apps.create({ slug: "vite", env_vars: [...variables(), strict] });
  const files = {
    "package.json": JSON.stringify({ type: "module", devDependencies: { vite: "7" } }),
    "index.html": '<div id="app"></div><script type="module" src="/main.js"></script>',
    "main.js": 'document.getElementById("app").textContent = "made by Vite";',
  };
  const install = "npm install --no-audit --no-fund";
  const config = { install, build: "npx vite build", runtime: { type: "static", cwd: "dist" } };
  const done = await deployAssets(client, "vite", files, { config });
  assert.deepEqual([done.failure_message, done.status], [null, "succeeded"], await buildLog(client, done.id));
  const address = await addressOf(client, done.id);
  const page = (await visit(address)).body;
  const script = /src="(\/assets\/[^"]+\.js)"/.exec(page)?.[1];
  assert.match((await visit(address, script)).body, /made by Vite/);
  await client.apps.delete("vite");
});

/** Made on this host, without the names of its registry. */
async function lockfileOf(manifest: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "csn-lock-"));
  try {
    await writeFile(join(directory, "package.json"), manifest);
    const options = ["--package-lock-only", "--omit-lockfile-registry-resolved", "--no-audit", "--no-fund"];
    await run("npm", ["install", ...options], { cwd: directory, timeout: 300_000 });
    return await readFile(join(directory, "package-lock.json"), "utf8");
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

test("a site of Astro, built in the sandbox from its lockfile", { timeout }, async () => {
  await client.apps.create({ slug: "astro", env_vars: variables() });
  const manifest = JSON.stringify({
    name: "site",
    type: "module",
    scripts: { build: "astro build" },
    dependencies: { astro: "5" },
  });
  const lockfile = await lockfileOf(manifest);
  const sandbox = await Sandbox.create({ allowNet: [...npm.hosts], memory: "3GiB" });
  try {
    const page = "---\nconst what = ['made', 'by', 'Astro'].join(' ');\n---\n<html><body><h1>{what}</h1></body></html>";
    await sandbox.fs.mkdir("/home/app/site/src/pages", { recursive: true });
    await sandbox.fs.writeTextFile("/home/app/site/package.json", manifest);
    await sandbox.fs.writeTextFile("/home/app/site/package-lock.json", lockfile);
    await sandbox.fs.writeTextFile("/home/app/site/src/pages/index.astro", page);
    const build = { mode: "local", frameworkPreset: "astro" } as const;
    const { id } = await sandbox.deploy("astro", { path: "site", production: true, build });
    const done = await ended(client, id, timeout);
    assert.deepEqual([done.failure_message, done.status], [null, "succeeded"], await buildLog(client, id));
    assert.match(await buildLog(client, id), /^installing: \$ npm ci$/m);
    const answer = await visit(await addressOf(client, id));
    assert.equal(answer.status, 200);
    assert.match(answer.body, /<h1>made by Astro<\/h1>/);
  } finally {
    await sandbox.kill();
  }
  await client.apps.delete("astro");
});

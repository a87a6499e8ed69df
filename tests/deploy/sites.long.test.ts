/** A static site of a framework, built in a machine from packages of npm. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client } from "@deno/sandbox";
import { startPlatform, type PlatformProcess } from "@caisson/testing";
import { registriesOfThisHost, type Registry } from "../egress/world/registries.ts";
import { addressOf, buildLog, deployAssets } from "./assets.ts";
import { visitor } from "./visit.ts";

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

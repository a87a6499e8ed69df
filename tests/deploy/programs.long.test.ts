/** Real programs, with packages of npm that are reached through the policy of a sandbox or of a build. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { descendants, until } from "@caisson/testing";
import { createTestAuthority } from "../egress/world/authority.ts";
import { startLlmService, type LlmService } from "../egress/world/llm-service.ts";
import { startEgressPlatform, type EgressPlatform } from "../egress/world/platform.ts";
import { registriesOfThisHost, type Registry } from "../egress/world/registries.ts";
import { needlesFor, searchFiles, searchMemory } from "../egress/world/search.ts";
import { addressOf, buildLog, deployAssets, ended } from "./assets.ts";
import { visitor } from "./visit.ts";

const host = "api.openai.com";
const key = `sk-proj-${randomBytes(24).toString("base64url")}`;
let npm: Registry;
let service: LlmService;
let platform: EgressPlatform;
let client: Client;
let visit: ReturnType<typeof visitor>;

before(
  async () => {
    ({ npm } = await registriesOfThisHost());
    const authority = await createTestAuthority();
    service = await startLlmService(await authority.issue([host]));
    platform = await startEgressPlatform({ authority, egress: { resolve: { [host]: service.address } } });
    client = new Client();
    visit = visitor(platform.home);
  },
  { timeout: 240_000 },
);
after(async () => {
  await platform?.stop(30_000);
  await service?.close();
});

const variables = () => Object.entries(npm.env).map(([name, value]) => ({ key: name, value }));

async function withSandbox(also: object, use: (sandbox: Sandbox) => Promise<void>): Promise<void> {
  const sandbox = await Sandbox.create({ allowNet: [...npm.hosts, host], memory: "2GiB", ...also });
  try {
    await use(sandbox);
  } finally {
    await sandbox.kill();
  }
}

async function write(sandbox: Sandbox, files: Readonly<Record<string, string>>): Promise<void> {
  await sandbox.fs.mkdir("/home/app/site", { recursive: true });
  for (const [name, text] of Object.entries(files)) await sandbox.fs.writeTextFile(`/home/app/site/${name}`, text);
}

test(
  "Hono on Deno: its packages are downloaded when it is built, and not when it starts",
  { timeout: 900_000 },
  async () => {
    await client.apps.create({ slug: "hono", env_vars: variables() });
    await withSandbox({}, async (sandbox) => {
      await write(sandbox, {
        "deno.json": JSON.stringify({ imports: { hono: "npm:hono@4" } }),
        "main.ts": `
import { Hono } from "hono";
const app = new Hono();
app.get("/hello/:name", (c) => c.text("Hello " + c.req.param("name")));
Deno.serve(app.fetch);`,
      });
      const build = await sandbox.deploy("hono", { path: "site", production: true });
      const done = await ended(client, build.id);
      assert.deepEqual([done.status, done.failure_message], ["succeeded", null]);
    });
    const { id } = ((await Array.fromAsync(await client.revisions.list("hono"))) as unknown as { id: string }[])[0]!;
    const answer = await visit(await addressOf(client, id), "/hello/world");
    assert.deepEqual([answer.status, answer.body], [200, "Hello world"]);
    const events = await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/api/v1/audit?limit=500`, {
      headers: { authorization: `Bearer ${platform.env.DENO_DEPLOY_TOKEN}` },
    }).then(async (response) => (await response.json()) as { sandboxId: string; host: string }[]);
    const of = (kind: string) =>
      events.filter(({ sandboxId }) => sandboxId.startsWith(kind)).map((event) => event.host);
    assert.ok(
      of("bld_").some((name) => npm.hosts.some((registry) => registry.startsWith(name))),
      "no build is audited",
    );
    assert.deepEqual(of("ins_"), []);
    await client.apps.delete("hono");
  },
);

test(
  "Express on Node.js, installed in the sandbox; the OpenAI client with a key that nobody there holds",
  { timeout: 900_000 },
  async (t) => {
    await client.apps.create({ slug: "shop" });
    let revision = "";
    await withSandbox({ secrets: { OPENAI_API_KEY: { hosts: [host], value: key } } }, async (sandbox) => {
      await write(sandbox, {
        "package.json": JSON.stringify({ type: "module", dependencies: { express: "5", openai: "7" } }),
        "server.js": `
import express from "express";
import OpenAI from "openai";
const app = express();
app.get("/", (request, response) => response.send("shop"));
app.get("/ask", async (request, response) => {
  const stream = await new OpenAI().chat.completions.create({ model: "m", stream: true, messages: [{ role: "user", content: "Hi" }] });
  let text = "";
  for await (const part of stream) text += (part.choices[0].delta.content ?? "") + (part.system_fingerprint ?? "");
  console.log("answered", text);
  response.send(text);
});
app.listen(3000);`,
      });
      const env = Object.entries(npm.env)
        .map(([name, value]) => `${name}=${value}`)
        .join(" ");
      const build = await sandbox.deploy("shop", {
        path: "site",
        production: true,
        build: { mode: "local", installCommand: `${env} npm install --no-audit --no-fund`, entrypoint: "server.js" },
      } as never);
      revision = build.id;
      const done = await ended(client, build.id);
      assert.deepEqual([done.status, done.failure_message], ["succeeded", null]);
    });
    const address = await addressOf(client, revision);
    assert.equal((await visit(address)).body, "shop");
    const { body } = await visit(address, "/ask");
    assert.match(body, /Hello/);
    assert.ok(!body.includes(key));
    assert.equal(service.seen.at(-1)?.key, key);
    const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    await visit(address, "/ask", { traceparent: `00-${trace}-00f067aa0ba902b7-01` });
    const start = new Date(Date.now() - 600_000).toISOString();
    const logs = await until(60_000, "the line with its trace", async () => {
      const lines = await Array.fromAsync<{ trace_id?: string }>((await client.apps.logs("shop", { start })) as never);
      return lines.some(({ trace_id }) => trace_id === trace) ? JSON.stringify(lines) : undefined;
    });
    assert.ok(!logs.includes(key));
    const needles = new Map([["a word of the program", Buffer.from("answered")], ...needlesFor(key)]);
    const machines = descendants(platform.pid).filter(({ command }) => /^\S*qemu-system/.test(command));
    assert.equal(machines.length, 1);
    const memory = searchMemory(machines[0]!.pid, needles);
    const disk = searchFiles(platform.home, needles);
    t.diagnostic(
      `${Math.round(memory.bytes / 1e6)} MB of memory and ${Math.round(disk.bytes / 1e6)} MB of files searched`,
    );
    assert.deepEqual([...memory.found], ["a word of the program"]);
    assert.deepEqual([...disk.found], ["a word of the program"]);
    await client.apps.delete("shop");
  },
);

test("a site of Vite, installed and built in a machine", { timeout: 900_000 }, async () => {
  // An authority of this host's own that is before the registry is unknown in a machine of a build, whose network is unrestricted.
  const strict = { key: "npm_config_strict_ssl", value: "false" };
  await client.apps.create({ slug: "vite", env_vars: [...variables(), strict] });
  const done = await deployAssets(
    client,
    "vite",
    {
      "package.json": JSON.stringify({ type: "module", devDependencies: { vite: "7" } }),
      "index.html": '<div id="app"></div><script type="module" src="/main.js"></script>',
      "main.js": 'document.getElementById("app").textContent = "made by Vite";',
    },
    {
      config: {
        install: "npm install --no-audit --no-fund",
        build: "npx vite build",
        runtime: { type: "static", cwd: "dist" },
      },
    },
  );
  assert.deepEqual([done.status, done.failure_message], ["succeeded", null], await buildLog(client, done.id));
  const address = await addressOf(client, done.id);
  const page = (await visit(address)).body;
  const script = /src="(\/assets\/[^"]+\.js)"/.exec(page)?.[1];
  assert.match((await visit(address, script)).body, /made by Vite/);
  await client.apps.delete("vite");
});

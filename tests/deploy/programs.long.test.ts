/** Real programs, with packages of npm that are reached through the policy of a sandbox. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { descendants, until } from "@caisson/testing";
import { createTestAuthority } from "../egress/world/authority.ts";
import { startLlmService, type LlmService } from "../egress/world/llm-service.ts";
import { startEgressPlatform, type EgressPlatform } from "../egress/world/platform.ts";
import { registriesOfThisHost, type Registry } from "../egress/world/registries.ts";
import { needlesFor, searchFiles, searchMemory } from "../egress/world/search.ts";
import { addressOf, buildLog, call, ended, metric } from "./assets.ts";
import { visitor } from "./visit.ts";

const host = "api.openai.com";
const key = `sk-proj-${randomBytes(24).toString("base64url")}`;
const timeout = 1_500_000;
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
    platform = await startEgressPlatform({
      authority,
      egress: { resolve: { [host]: service.address } },
      serving: { buildTimeout: 1400, startTimeout: 300, idleTimeout: 5, checkpoints: 2 },
    });
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
  for (const [name, text] of Object.entries(files)) {
    await sandbox.fs.mkdir(join("/home/app/site", name, ".."), { recursive: true });
    await sandbox.fs.writeTextFile(`/home/app/site/${name}`, text);
  }
}

/** @returns the id of the revision, which serves production */
async function deploy(sandbox: Sandbox, app: string, build?: object): Promise<string> {
  const options = { path: "site", production: true, ...(build === undefined ? {} : { build }) };
  const { id } = await sandbox.deploy(app, options);
  const done = await ended(client, id, timeout);
  assert.deepEqual([done.failure_message, done.status], [null, "succeeded"], await buildLog(client, id));
  return id;
}

/** Hosts that machines of a kind reached. */
async function reached(kind: "bld" | "ins"): Promise<Set<string>> {
  const events = JSON.parse(await call(platform.env, "GET", "/api/v1/audit?limit=500")) as {
    sandboxId: string;
    host: string;
  }[];
  return new Set(events.filter(({ sandboxId }) => sandboxId.startsWith(kind)).map((event) => event.host));
}

const registry = () => npm.hosts.map((name) => name.replace(/:\d+$/, ""));

test(
  "Hono on Deno: packages are downloaded when it is built, once for a lockfile, and not when it starts",
  { timeout },
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
      await sandbox
        .spawn("deno", { args: ["install"], cwd: "/home/app/site", env: npm.env, stdout: "null", stderr: "null" })
        .then((child) => child.status);
      const first = await deploy(sandbox, "hono");
      assert.deepEqual([...(await reached("bld"))], registry());
      assert.match(await buildLog(client, first), /Download.*hono/);
      const again = await deploy(sandbox, "hono");
      assert.doesNotMatch(await buildLog(client, again), /Download.*hono/);
      const answer = await visit(await addressOf(client, again), "/hello/world");
      assert.deepEqual([answer.status, answer.body], [200, "Hello world"]);
    });
    assert.deepEqual([...(await reached("ins"))], []);
    await client.apps.delete("hono");
  },
);

/** The key was used, and is nowhere on this host but in the memory of the egress workers and of the stand-in. */
async function keyIsNowhere(app: string, address: string, t: TestContext): Promise<void> {
  const { body } = await visit(address, "/ask");
  assert.match(body, /Hello/);
  assert.ok(!body.includes(key));
  assert.equal(service.seen.at(-1)?.key, key);
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  await visit(address, "/ask", { traceparent: `00-${trace}-00f067aa0ba902b7-01` });
  const start = new Date(Date.now() - 600_000).toISOString();
  const logs = await until(60_000, "the line with its trace", async () => {
    const lines = await Array.fromAsync<{ trace_id?: string }>((await client.apps.logs(app, { start })) as never);
    return lines.some(({ trace_id }) => trace_id === trace) ? JSON.stringify(lines) : undefined;
  });
  assert.ok(!logs.includes(key));
  const needles = new Map([["a word of the program", Buffer.from("answered-by-program")], ...needlesFor(key)]);
  const machines = descendants(platform.pid).filter(({ command }) => /^\S*qemu-system/.test(command));
  assert.equal(machines.length, 1);
  const memory = searchMemory(machines[0]!.pid, needles);
  const disk = searchFiles(platform.home, needles);
  t.diagnostic(
    `${Math.round(memory.bytes / 1e6)} MB of memory and ${Math.round(disk.bytes / 1e6)} MB of files searched`,
  );
  assert.deepEqual([...memory.found], ["a word of the program"]);
  assert.deepEqual([...disk.found], ["a word of the program"]);
}

const ask = `
  const stream = await new OpenAI().chat.completions.create({ model: "m", stream: true, messages: [{ role: "user", content: "Hi" }] });
  let text = "";
  for await (const part of stream) text += (part.choices[0].delta.content ?? "") + (part.system_fingerprint ?? "");
  console.log("answered-by-program", text);`;
const secrets = { OPENAI_API_KEY: { hosts: [host], value: key } };

test(
  "Express on Node.js, installed in the sandbox; the OpenAI client with a key that nobody there holds",
  { timeout },
  async (t) => {
    await client.apps.create({ slug: "shop", env_vars: variables() });
    let revision = "";
    await withSandbox({ secrets }, async (sandbox) => {
      await write(sandbox, {
        "package.json": JSON.stringify({ type: "module", dependencies: { express: "5", openai: "7" } }),
        "server.js": `
import express from "express";
import OpenAI from "openai";
const app = express();
app.get("/", (request, response) => response.send("shop"));
app.get("/ask", async (request, response) => {${ask}
  response.send(text);
});
app.listen(3000);`,
      });
      const installCommand = "npm install --no-audit --no-fund";
      revision = await deploy(sandbox, "shop", { mode: "local", installCommand, entrypoint: "server.js" });
    });
    const address = await addressOf(client, revision);
    assert.equal((await visit(address)).body, "shop");
    await keyIsNowhere("shop", address, t);
    await client.apps.delete("shop");
  },
);

test("the OpenAI client on Deno, whose instances go on from a checkpoint that holds no key", { timeout }, async (t) => {
  await client.apps.create({ slug: "asks", env_vars: variables() });
  let revision = "";
  await withSandbox({ secrets }, async (sandbox) => {
    await write(sandbox, {
      "deno.json": JSON.stringify({ imports: { openai: "npm:openai@7" } }),
      "main.ts": `
import OpenAI from "openai";
const key = Deno.env.get("OPENAI_API_KEY");
const start = crypto.randomUUID();
Deno.serve(async (request) => {
  if (new URL(request.url).pathname !== "/ask") return new Response(start + " " + key.length);${ask}
  return new Response(text);
});`,
    });
    revision = await deploy(sandbox, "asks");
  });
  const address = await addressOf(client, revision);
  const count = (name: string, value: number) =>
    until(600_000, `${name} ${value}`, async () => ((await metric(platform.env, name)) === value ? true : undefined));
  await count("caisson_app_checkpoints", 1);
  const starts = new Set<string>();
  for (let visits = 0; visits < 2; visits++) {
    await count("caisson_app_instances", 0);
    starts.add((await visit(address)).body);
  }
  assert.equal(starts.size, 1, "the program has started twice");
  await keyIsNowhere("asks", address, t);
  await client.apps.delete("asks");
});

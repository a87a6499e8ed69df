/** Later instances of a revision go on from a checkpoint: real machines, real gateway, an upstream that is the test's. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { holdings, startPlatform, until, type PlatformProcess } from "@caisson/testing";
import { createTestAuthority } from "../egress/world/authority.ts";
import { Listener } from "../egress/world/listener.ts";
import { visitor } from "./visit.ts";

const upstreamHost = "upstream.example";
const realKey = "the-real-key-that-no-image-may-hold";
/** Milliseconds, on the slowest host. */
const patience = 280_000;
const home = await mkdtemp(join(tmpdir(), "csn-"));
let config: Record<string, unknown>;
let platform: PlatformProcess;
let client: Client;
let visit: ReturnType<typeof visitor>;
let upstream: Listener;
let domain: string;
let revisionId: string;

/** What an instance says about itself. */
interface Told {
  /** Made when the program started: instances of one checkpoint have the same. */
  readonly start: string;
  readonly random: readonly unknown[];
  readonly machine: readonly string[];
  readonly greeting: string;
  readonly late: number;
}

const program = `
import { randomBytes, randomUUID } from "node:crypto";
const start = crypto.randomUUID();
randomBytes(3);
Math.random();
console.log("starts " + start);
async function told() {
  const key = await crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, true, ["sign"]);
  const random = [
    crypto.randomUUID(), [...crypto.getRandomValues(new Uint8Array(8))], Math.random(), randomUUID(),
    randomBytes(8).toString("hex"), (await crypto.subtle.exportKey("jwk", key)).k,
    await new Promise((done) => randomBytes(8, (_error, bytes) => done(bytes.toString("hex")))),
  ];
  const files = ["/etc/machine-id", "/proc/sys/kernel/random/boot_id", "/etc/hostname"];
  const machine = files.map((file) => Deno.readTextFileSync(file).trim());
  return { start, random, machine, greeting: Deno.env.get("GREETING"), late: Date.now() };
}
Deno.serve(async (request) => {
  const { pathname } = new URL(request.url);
  if (pathname !== "/upstream") return Response.json(await told());
  const headers = { authorization: "Bearer " + Deno.env.get("API_KEY") };
  const answer = await fetch("https://${upstreamHost}/", { headers });
  return new Response(String(answer.status));
});`;

async function start() {
  platform = await startPlatform({ home, config });
  Object.assign(process.env, platform.env);
  client = new Client();
  visit = visitor(home);
}
before(
  async () => {
    const authority = await createTestAuthority();
    upstream = await Listener.start({ name: upstreamHost, identity: await authority.issue([upstreamHost]) });
    const ca = join(home, "upstream-ca.pem");
    await writeFile(ca, authority.certificatePem);
    config = {
      serving: { idleTimeout: 5, drainTimeout: 3, workTimeout: 0, checkpoints: 16 },
      pool: { size: 1 },
      logLevel: "info",
      egress: { resolve: { [upstreamHost]: upstream.address }, extraCa: [ca] },
    };
    await start();
  },
  { timeout: patience },
);
after(async () => {
  await platform?.stop(30_000);
  await upstream?.close();
  assert.deepEqual(holdings(home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
  await rm(home, { recursive: true, force: true });
});

async function metric(name: string): Promise<number> {
  const answer = await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/metrics`, {
    headers: { authorization: `Bearer ${platform.env.DENO_DEPLOY_TOKEN}` },
  });
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(await answer.text())?.[1]);
}

const becomes = (name: string, value: number) =>
  until(patience, `${name} ${value}`, async () => ((await metric(name)) === value ? true : undefined), 250);

async function ask(): Promise<Told> {
  const { status, body } = await visit(domain);
  assert.equal(status, 200, body);
  return JSON.parse(body) as Told;
}

/** One that was started for this request. */
async function askNew(): Promise<Told> {
  await becomes("caisson_app_instances", 0);
  return ask();
}

/** When no seed is under way either, whose machine would still run. */
const checkpointed = () => becomes("caisson_app_checkpoints", 1);

test("the second instance goes on from a checkpoint, and is one of its own", { timeout: 2 * patience }, async () => {
  await client.apps.create({ slug: "saved", env_vars: [{ key: "GREETING", value: "hello" }] });
  const sandbox = await Sandbox.create({
    allowNet: [upstreamHost],
    secrets: { API_KEY: { hosts: [upstreamHost], value: realKey } },
  });
  await sandbox.fs.mkdir("/home/app/site", { recursive: true });
  await sandbox.fs.writeTextFile("/home/app/site/server.ts", program);
  const build = await sandbox.deploy("saved", {
    path: "site",
    production: true,
    build: { mode: "none", entrypoint: "server.ts" },
  });
  const done = (await build.done) as unknown as {
    id: string;
    failure_message: string | null;
    timelines: { slug: string; domains: { domain: string }[] }[];
  };
  assert.equal(done.failure_message, null);
  await sandbox.kill();
  revisionId = done.id;
  domain = done.timelines.find(({ slug }) => slug === "production")!.domains[0]!.domain;
  const plain = await ask();
  await checkpointed();
  const [first, second] = [await askNew(), await askNew()];
  assert.notEqual(first.start, plain.start);
  assert.equal(second.start, first.start, "the instances do not come from one checkpoint");
  for (const [index, value] of first.random.entries())
    assert.notDeepEqual(second.random[index], value, `random number ${index} repeats`);
  for (const [index, value] of first.machine.entries()) assert.notEqual(second.machine[index], value);
  for (const { late } of [first, second]) assert.ok(Math.abs(Date.now() - late) < patience);
  assert.ok(second.late > first.late);
});

test("its secret reaches the upstream, and no file of the checkpoint holds it", { timeout: patience }, async () => {
  const { status, body } = await visit(domain, "/upstream");
  assert.deepEqual([status, body], [200, "200"]);
  assert.ok(JSON.stringify(upstream.requests).includes(realKey));
  const [id] = await readdir(join(home, "checkpoints"));
  let placeholder = false;
  for (const name of await readdir(join(home, "checkpoints", id!))) {
    const content = await readFile(join(home, "checkpoints", id!, name));
    assert.ok(!content.includes(realKey), `${name} holds the key`);
    placeholder ||= content.includes("caisson-secret-api-key-");
  }
  assert.ok(placeholder, "the memory was not searched");
});

test("what it prints is in the logs, the start included", { timeout: patience }, async () => {
  const { start: mark } = await ask();
  const since = new Date(Date.now() - 3600_000).toISOString();
  const lines = await until(patience, "the logs", async () => {
    const logs = await Array.fromAsync(
      (await client.apps.logs("saved", { start: since })) as AsyncIterable<{ message: string }>,
    );
    const found = logs.filter(({ message }) => message === `starts ${mark}`);
    return found.length >= 2 ? found : undefined;
  });
  assert.ok(lines.length >= 2);
});

test("the server is killed: the next instance goes on from the checkpoint", { timeout: patience }, async () => {
  const before = await ask();
  await platform.crash();
  await start();
  const [timeline] = (await client.revisions.timelines(revisionId)) as unknown as { domains: { domain: string }[] }[];
  domain = timeline!.domains[0]!.domain;
  const next = await ask();
  assert.equal(next.start, before.start);
  assert.notDeepEqual(next.random, before.random);
});

test("a damaged checkpoint: the instance starts plainly, and another is made", { timeout: 2 * patience }, async () => {
  const { start: former } = await ask();
  await becomes("caisson_app_instances", 0);
  const [id] = await readdir(join(home, "checkpoints"));
  await truncate(join(home, "checkpoints", id!, "state"), 1000);
  const plain = await ask();
  assert.notEqual(plain.start, former);
  await checkpointed();
  const [first, second] = [await askNew(), await askNew()];
  assert.equal(first.start, second.start);
  assert.notEqual(first.start, former);
});

test("other variables: the checkpoint is dropped, and made again", { timeout: 2 * patience }, async () => {
  const { start: former, greeting } = await ask();
  assert.equal(greeting, "hello");
  await client.apps.update("saved", { env_vars: [{ key: "GREETING", value: "welcome" }] });
  const changed = await askNew();
  assert.equal(changed.greeting, "welcome");
  assert.notEqual(changed.start, former);
  await checkpointed();
  assert.equal((await askNew()).greeting, "welcome");
});

test("a secret variable: no checkpoint", { timeout: patience }, async () => {
  const variable = { key: "GREETING", value: "hidden", secret: true };
  await client.apps.update("saved", { env_vars: [variable] });
  const [first, second] = [await askNew(), await askNew()];
  assert.deepEqual([first.greeting, second.greeting], ["hidden", "hidden"]);
  assert.notEqual(first.start, second.start);
});

test("deleting the app removes its checkpoint", { timeout: patience }, async () => {
  await client.apps.delete("saved");
  await until(patience, "no checkpoint", async () =>
    (await readdir(join(home, "checkpoints"))).length === 0 ? true : undefined,
  );
  await becomes("caisson_app_instances", 0);
});

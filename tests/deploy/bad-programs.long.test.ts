/** Programs that crash, never listen or eat memory, and a server that is killed while it serves: each ends as documented. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Client } from "@deno/sandbox";
import { holdings, pause, startPlatform, until, type PlatformProcess } from "@caisson/testing";
import { call, deployProgram, metric, addressOf } from "./assets.ts";
import { visitor } from "./visit.ts";

/** Seconds. A good program needs up to a minute where its processor is emulated on a busy host; one that never listens takes all of it. */
const startTimeout = 150;
const config = { serving: { drainTimeout: 3, workTimeout: 1, startTimeout } };
const home = await mkdtemp(join(tmpdir(), "csn-"));
let platform: PlatformProcess;
let client: Client;
let visit: ReturnType<typeof visitor>;

/** @param port of the gateway; 0: any */
async function start(port = "0"): Promise<void> {
  platform = await startPlatform({ home, config, env: { CAISSON_HTTPS_PORT: port } });
  Object.assign(process.env, platform.env);
  client = new Client();
  visit = visitor(home);
}
before(() => start(), { timeout: 900_000 });
after(async () => {
  await platform.stop();
  assert.deepEqual(holdings(home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
  await rm(home, { recursive: true, force: true });
});

const noInstance = () =>
  until(120_000, "no instance", async () => (await metric(platform.env, "caisson_app_instances")) === 0, 250);

async function logsOf(app: string, wanted: RegExp): Promise<string> {
  const from = new Date(Date.now() - 1_800_000).toISOString();
  return until(60_000, `${String(wanted)} in the logs`, async () => {
    const lines = (await client.apps.logs(app, { start: from })) as AsyncIterable<{ level: string; message: string }>;
    const all = (await Array.fromAsync(lines)).map(({ level, message }) => `${level}: ${message}`).join("\n");
    return wanted.test(all) ? all : undefined;
  });
}

test(
  "one that never listens fails with its output, and what production served before goes on",
  { timeout: 900_000 },
  async () => {
    await client.apps.create({ slug: "silent" });
    const good = await deployProgram(client, "silent", `Deno.serve(() => new Response("good"));`);
    assert.equal(good.failure_message, null);
    const domain = await addressOf(client, good.id);
    const bad = await deployProgram(client, "silent", `console.log("I am busy"); setInterval(() => {}, 1000);`);
    assert.equal(bad.status, "failed");
    assert.match(bad.failure_message!, /did not listen on a port within 150 s\. Its last output:\nI am busy$/);
    assert.deepEqual((await visit(domain)).body, "good");
    await client.apps.delete("silent");
    await noInstance();
  },
);

test(
  "one that crashes again and again is explained to its visitors, and its starts become rare",
  { timeout: 900_000 },
  async (t) => {
    await client.apps.create({ slug: "crashing" });
    const program = `
    Deno.serve(() => new Response("up"));
    setTimeout(() => { console.error("out of luck"); Deno.exit(4); }, 2000);`;
    const { id, failure_message } = await deployProgram(client, "crashing", program);
    assert.equal(failure_message, null);
    const domain = await addressOf(client, id);
    const answers: string[] = [];
    const starts = () => platform.output().split("an instance of an app starts").length - 1;
    const before = starts();
    // The fourth pause is 8 s.
    const pauses = new Set<string>();
    await until(
      300_000,
      "pauses that grow",
      async () => {
        const { status, body } = await visit(domain);
        answers.push(`${status} ${body}`);
        const [, seconds] = /It is tried again in (\d+) s\. The program ended: exit code 4\./.exec(body) ?? [];
        if (seconds !== undefined) pauses.add(seconds);
        return Number(seconds) > 4;
      },
      200,
    );
    t.diagnostic(`${answers.length} visits, ${starts() - before} starts`);
    assert.ok(starts() - before <= 6);
    for (const answer of answers) {
      assert.match(answer, /^(200 up|502 )/);
      // What the program prints is for its owner.
      assert.ok(!answer.includes("out of luck"), answer);
    }
    const logs = await logsOf("crashing", /The program ended: exit code 4\./);
    assert.match(logs, /error: out of luck\nerror: The program ended: exit code 4\./);
    await client.apps.delete("crashing");
    await noInstance();
  },
);

test("one that fills its memory is ended and replaced, and its logs say so", { timeout: 900_000 }, async () => {
  await client.apps.create({ slug: "hungry" });
  // One takes all there is; the other stops where the kernel can still take its own code away again and again, and kills nothing.
  const program = `
    const kept: Uint8Array[] = [];
    const group = "/sys/fs/cgroup/sandbox/memory.";
    const limit = Number(Deno.readTextFileSync(group + "max"));
    const used = () => Number(/^anon (.*)/m.exec(Deno.readTextFileSync(group + "stat"))![1]);
    Deno.serve(async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/") return new Response("full " + Deno.pid);
      while (pathname === "/eat" || used() < limit - 24 * 2 ** 20) {
        kept.push(new Uint8Array((pathname === "/eat" ? 16 : 1) * 2 ** 20).fill(1));
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
      console.log("enough");
      for (let i = 0; ; i++) {
        new Intl.DateTimeFormat(["en", "de", "fr"][i % 3]).format(new Date());
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    });`;
  const { id, failure_message } = await deployProgram(client, "hungry", program);
  assert.equal(failure_message, null);
  const domain = await addressOf(client, id);
  for (const [index, path] of ["/eat", "/fill"].entries()) {
    // A crash within 30 s counts as a failed start, which is tried again.
    await until(120_000, "an instance", async () => (await visit(domain)).status === 200, 500);
    const answer = await visit(domain, path).then(
      ({ status, body }) => `${status} ${body}`,
      () => "cut",
    );
    assert.match(answer, /^(cut|502 .*)/, path);
    await until(60_000, "the reason in the logs", async () => {
      const logs = await logsOf("hungry", /The program ended: /);
      return logs.split("The program ended: SIGKILL, because its memory was full.").length > index + 1;
    });
  }
  await until(120_000, "another instance", async () => (await visit(domain)).status === 200, 500);
});

test(
  "the server is killed while it serves: the app answers again without action, and nothing is lost",
  { timeout: 900_000 },
  async (t) => {
    const [revision] = (await Array.fromAsync(await client.revisions.list("hungry"))) as unknown as { id: string }[];
    const domain = await addressOf(client, revision!.id);
    const port = domain.split(":")[1]!;
    const logs = await logsOf("hungry", /because its memory was full/);
    // Clients go on asking, as they would.
    const going = new AbortController();
    t.after(() => going.abort());
    let answers = 0;
    let killed = Infinity;
    let first = Infinity;
    const visits = Promise.all(
      Array.from({ length: 10 }, async () => {
        while (!going.signal.aborted) {
          const asked = performance.now();
          const good = await visit(domain).then(
            ({ status }) => status === 200,
            () => false,
          );
          if (good) answers++;
          if (good && asked > killed) first = Math.min(first, performance.now());
          await pause(500);
        }
      }),
    );
    await until(60_000, "an answer", () => answers > 0);
    await platform.crash();
    killed = performance.now();
    await start(port);
    const listens = performance.now();
    await until(300_000, "an answer", () => first < Infinity);
    const seconds = (from: number) => ((first - from) / 1000).toFixed(1);
    t.diagnostic(`${seconds(killed)} s after the kill, ${seconds(listens)} s after the server was ready again`);
    going.abort();
    await visits;
    assert.equal(await addressOf(client, revision!.id), domain);
    assert.ok((await logsOf("hungry", /because its memory was full/)).includes(logs));
    // An app with a minimum needs no visitor.
    await call(platform.env, "PUT", "/api/v2/apps/hungry/scaling", { min_instances: 2 });
    const two = () =>
      until(120_000, "two instances", async () => (await metric(platform.env, "caisson_app_instances")) === 2, 250);
    await two();
    await platform.crash();
    await start(port);
    await two();
    assert.equal((await visit(domain)).status, 200);
    await client.apps.delete("hungry");
    await noInstance();
  },
);

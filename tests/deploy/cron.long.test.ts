/** A cron job of a deployed program, in a machine that is started for it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { sharedPlatform, until } from "@caisson/testing";
import { deployCode } from "./deploy-code.ts";

const { env } = await sharedPlatform();
Object.assign(process.env, env);
const client = new Client();
const slug = `cron-${process.pid}`;
let sandbox: Sandbox;

const program = `
let runs = 0;
Deno.cron("each minute", "* * * * *", { backoffSchedule: [500] }, () => {
  console.log("run " + ++runs);
  if (runs === 1) throw new Error("the first one fails");
});
Deno.serve(() => new Response("hello"));`;

before(
  async () => {
    sandbox = await Sandbox.create();
    await client.apps.create({ slug });
  },
  { timeout: 300_000 },
);
after(async () => {
  await sandbox.kill().catch(() => undefined);
  await client.apps.delete(slug).catch(() => undefined);
});

test(
  "a cron job is found, runs at its time, and is tried again; its runs are in the logs",
  { timeout: 900_000 },
  async () => {
    const { done } = await deployCode(sandbox, slug, program);
    assert.deepEqual([done.status, done.failure_message], ["succeeded", null]);
    const start = new Date(Date.now() - 600_000).toISOString();
    const messages = await until(600_000, "both runs", async () => {
      const lines = await Array.fromAsync(
        (await client.apps.logs(slug, { start })) as AsyncIterable<{ level: string; message: string }>,
      );
      const all = lines.map(({ level, message }) => `${level}: ${message}`);
      return all.some((line) => line.includes('"each minute" ended after')) ? all : undefined;
    });
    for (const line of [
      "info: Cron jobs: each minute.",
      "info: run 1",
      'error: The cron job "each minute" failed: the first one fails. It is tried again in 0.5 s.',
      "info: run 2",
    ])
      assert.ok(messages.includes(line), `${line} in\n${messages.join("\n")}`);
    const answer = await fetch(`${env.DENO_DEPLOY_ENDPOINT}/api/v2/apps/${slug}/crons`, {
      headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` },
    });
    const [job] = (await answer.json()) as { name: string; schedule: string; last_run: { error: string | null } }[];
    assert.deepEqual([job!.name, job!.schedule, job!.last_run.error], ["each minute", "* * * * *", null]);
  },
);

test("a revision with cron jobs fails where the app forbids them", { timeout: 900_000 }, async () => {
  await client.apps.update(slug, { config: { crons: false } });
  const { done } = await deployCode(sandbox, slug, program);
  assert.equal(done.status, "failed");
  assert.match(done.failure_message!, /registers cron jobs \(each minute\), but the app has `crons: false`/);
});

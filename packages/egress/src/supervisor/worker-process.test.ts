/** Worker processes that cannot be started, end, or are ended: nothing of them stays behind. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { configSchema } from "@caisson/protocol";
import { pino } from "pino";
import { startHarness, startHttps } from "../testing/harness.ts";
import { ask } from "../testing/talk.ts";
import { createEgressGuard } from "./guard.ts";

const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;

test("a proxy that closes while it waits for a worker's sign of life waits for nothing afterwards", async () => {
  const harness = await startHarness({ workers: 1 });
  const [pid] = harness.guard.workerPids;
  const before = timers();
  process.kill(pid!, "SIGSTOP");
  // The worker is asked every five seconds.
  for (let tries = 0; tries < 800 && timers() === before; tries++) await sleep(10);
  assert.ok(timers() > before, "the worker was not asked");
  await harness.close();
  assert.equal(timers(), before);
});

/** Runs something while this process gets no more file descriptors. */
async function withoutDescriptors(during: () => Promise<void>): Promise<void> {
  const limit = (value: string): string[] => ["prlimit", "--pid", `${process.pid}`, `--nofile=${value}:`];
  const before = execFileSync("sh", ["-c", "ulimit -n"], { encoding: "utf8" }).trim();
  // Started before, since nothing can be started then.
  const undo = spawn("sh", ["-c", `read line; ${limit(before).join(" ")}`], { stdio: ["pipe", "ignore", "inherit"] });
  const [command = "", ...args] = limit("3");
  execFileSync(command, args);
  try {
    await during();
  } finally {
    undo.stdin.end("\n");
    await once(undo, "exit");
  }
}

test("a worker that cannot be started is started later, and gets its sandboxes then", async (t) => {
  const upstream = await startHttps(["api.test"], (_, response) => response.end("ok"));
  t.after(() => upstream.close());
  const harness = await startHarness({
    workers: 1,
    policy: { allow: ["api.test"] },
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
  });
  t.after(() => harness.close());
  const { guard, guest } = harness;
  await guest.session();
  await withoutDescriptors(async () => {
    process.kill(guard.workerPids[0]!, "SIGKILL");
    // Long enough for the first two tries.
    await sleep(500);
    assert.deepEqual(guard.workerPids, []);
  });
  assert.equal((await ask(guest, "api.test")).text, "ok");
});

test("a proxy whose first worker cannot be started serves what was attached meanwhile", async () => {
  const attachment = { sandboxId: "sbx_early", socketPath: "/nowhere", policy: {}, secrets: [] };
  const { egress } = configSchema.parse({ egress: { workers: 1 } });
  let guard: ReturnType<typeof createEgressGuard> | undefined;
  let attached: Promise<unknown> = Promise.reject(new Error("It was not attached"));
  attached.catch(() => {});
  await withoutDescriptors(async () => {
    guard = createEgressGuard({ config: egress, log: pino({ level: "silent" }) });
    assert.deepEqual(guard.workerPids, []);
    attached = guard.attach(attachment);
    await sleep(10);
  });
  await attached;
  await guard?.close();
});

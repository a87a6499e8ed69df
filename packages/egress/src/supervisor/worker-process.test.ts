/** Worker processes that cannot be started, end, or are ended: nothing of them stays behind. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startHarness } from "../testing/harness.ts";

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

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Budget } from "../../kernel/memory/budget.ts";
import { ReceiveBudget } from "./receive-budget.ts";

const MiB = 2 ** 20;
/** Milliseconds. */
const patience = 40;

function budget(memory = 1024 * MiB) {
  const log: string[] = [];
  const dropLargest = () => {
    log.push("drop");
    made.release(30 * MiB);
  };
  const made: ReceiveBudget = new ReceiveBudget(
    { pause: () => log.push("pause"), resume: () => log.push("resume"), dropLargest },
    new Budget(memory),
    patience,
  );
  return { log, made };
}

test("reading stops at the bound and goes on when half of it is free", () => {
  const { log, made } = budget();
  made.add(MiB);
  assert.deepEqual(log, []);
  made.add(1);
  assert.deepEqual([log, made.paused], [["pause"], true]);
  made.release(MiB / 2);
  assert.deepEqual(log, ["pause"]);
  made.release(1);
  assert.deepEqual([log, made.paused], [["pause", "resume"], false]);
  made.close();
});

test("a socket is never stopped for good: the bound grows with patience, and at its end a stream is dropped", async () => {
  const { log, made } = budget();
  for (let megabytes = 0; megabytes < 80; megabytes++) {
    made.add(MiB);
    while (made.paused) await sleep(5);
  }
  assert.equal(log.filter((entry) => entry === "pause").length, log.filter((entry) => entry === "resume").length);
  assert.ok(log.includes("drop"));
  assert.equal(log.slice(0, log.indexOf("drop")).filter((entry) => entry === "resume").length, 6);
  made.close();
});

test("without memory the bound does not grow, and a stream is dropped at once", async () => {
  const { log, made } = budget(3 * MiB);
  for (let megabytes = 0; megabytes < 6; megabytes++) {
    made.add(MiB);
    while (made.paused) await sleep(5);
  }
  assert.equal(log.slice(0, log.indexOf("drop")).filter((entry) => entry === "resume").length, 2);
  made.close();
});

test("consumption, however slow, keeps the stream", async () => {
  const { log, made } = budget();
  made.add(20 * MiB);
  for (let step = 0; step < 30; step++) {
    made.release(1000);
    await sleep(patience / 4);
  }
  assert.deepEqual(log, ["pause"]);
  made.close();
});

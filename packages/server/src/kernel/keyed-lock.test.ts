import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { KeyedLock } from "./keyed-lock.ts";

test("actions under one key follow one another, also after a failure; other keys do not wait", async () => {
  const lock = new KeyedLock();
  const order: string[] = [];
  const step = (name: string, ms: number) => async () => {
    order.push(`${name} begins`);
    await sleep(ms);
    order.push(`${name} ends`);
    if (name === "bad") throw new Error("bad");
  };
  const bad = assert.rejects(lock.run("a", step("bad", 20)));
  await Promise.all([bad, lock.run("a", step("second", 1)), lock.run("b", step("other", 1))]);
  assert.deepEqual(order, ["bad begins", "other begins", "other ends", "bad ends", "second begins", "second ends"]);
});

test("crossing sets of keys do not wait for each other for ever", async () => {
  const lock = new KeyedLock();
  const both = await Promise.all([
    lock.runAll(["a", "b"], () => sleep(2, "one")),
    lock.runAll(["b", "a", "a"], () => sleep(1, "two")),
  ]);
  assert.deepEqual(both, ["one", "two"]);
});

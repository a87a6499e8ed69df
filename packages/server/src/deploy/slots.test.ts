import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Slots } from "./slots.ts";

const never = new AbortController().signal;

test("an organisation with many waits behind one with few, and otherwise the first comes first", async () => {
  const slots = new Slots(2);
  const order: string[] = [];
  const back: (() => void)[] = [];
  const take = (org: string, name: string) =>
    slots.take(org, never).then((leave) => {
      order.push(name);
      back.push(leave);
    });
  const all = ["a1", "a2", "a3", "a4"].map((name) => take("a", name));
  all.push(take("b", "b1"));
  await turn();
  assert.deepEqual(order, ["a1", "a2"]);
  for (const next of ["b1", "a3", "a4"]) {
    back.shift()!();
    await turn();
    assert.equal(order.at(-1), next);
  }
  await Promise.all(all);
  assert.equal(order.length, 5);
});

test("who goes away while waiting takes no place", async () => {
  const slots = new Slots(1);
  const leave = await slots.take("a", never);
  const gone = new AbortController();
  const first = slots.take("b", gone.signal);
  const second = slots.take("c", never);
  gone.abort(new Error("gone"));
  await assert.rejects(first, /gone/);
  leave();
  const third = slots.take("d", never);
  (await second)();
  (await third)();
  await assert.rejects(slots.take("a", gone.signal), /gone/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Turns } from "./turns.ts";

test("an organisation that used its time waits for the next turn, and nobody else does", async () => {
  const turns = new Turns();
  turns.spend("a", 5);
  assert.ok(turns.hasTime("a"));
  turns.spend("a", 5);
  assert.ok(!turns.hasTime("a") && turns.hasTime("b"));
  const order: string[] = [];
  const work = (left: number) => () => {
    if (!turns.hasTime("a")) return turns.next(work(left));
    order.push("a");
    turns.spend("a", 10);
    if (left > 1) turns.next(work(left - 1));
  };
  turns.next(work(2));
  turns.next(work(1));
  for (let at = 0; at < 10; at++) {
    if (turns.hasTime("b")) order.push("b");
    await turn();
  }
  assert.equal(order.filter((name) => name === "a").length, 3);
  assert.ok(!order.join("").includes("aa"));
});

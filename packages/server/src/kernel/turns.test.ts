import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { until } from "@caisson/testing";
import { Turns } from "./turns.ts";

/** Keeps the loop busy. @param milliseconds @returns how long it really was */
function work(milliseconds: number): number {
  const started = performance.now();
  while (performance.now() - started < milliseconds);
  return performance.now() - started;
}

test("an organisation that used its time waits for the next turn, and nobody else does", async () => {
  const turns = new Turns();
  const [a, b] = [turns.of("a"), turns.of("b")];
  b.enter();
  a.enter();
  work(3);
  assert.ok(!a.hasTime());
  const order: string[] = [];
  const piece = (left: number) => () => {
    if (!a.hasTime()) return a.next(piece(left));
    order.push("a");
    work(3);
    if (left > 1) a.next(piece(left - 1));
  };
  a.next(piece(2));
  a.next(piece(1));
  for (let at = 0; order.filter((name) => name === "a").length < 3; at++) {
    assert.ok(at < 10_000);
    b.enter();
    order.push("b");
    await turn();
  }
  assert.ok(!order.join("").includes("aa"), order.join(""));
});

test("what follows in promises counts, and what the loop waits for does not", async () => {
  const turns = new Turns();
  const [a, b] = [turns.of("a"), turns.of("b")];
  b.enter();
  a.enter();
  await Promise.resolve();
  work(3);
  assert.ok(!a.hasTime());
  await sleep(30);
  await a.time();
});

test("long work is paid back while others are at work, and only then", async () => {
  const turns = new Turns();
  const a = turns.of("a");
  a.enter();
  work(40);
  await turn();
  await turn();
  assert.ok(a.hasTime(), "nobody else is there");
  const b = turns.of("b");
  b.enter();
  a.enter();
  const busy = work(40);
  const since = performance.now();
  await turn();
  const alive = setInterval(() => b.enter(), 10);
  await a.time();
  clearInterval(alive);
  const waited = performance.now() - since;
  // An allowance of 25 ms, 4 ms in each turn, and four times the rest.
  assert.ok(waited >= Math.min(250, (busy - 29) * 4) - 2, `${waited} ms after ${busy} ms`);
});

test("waiting for time ends for everybody who waits", async () => {
  const turns = new Turns();
  const [a, b] = [turns.of("a"), turns.of("b")];
  b.enter();
  a.enter();
  work(60);
  await turn();
  let done = 0;
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      await a.time();
      a.enter();
      work(1);
      done++;
    }),
  );
  assert.equal(done, 50);
});

test("of works that wait in promises only a few begin in one turn", async () => {
  const a = new Turns().of("a");
  let begun = 0;
  for (let count = 0; count < 20; count++) void new Promise<void>((resolve) => a.next(resolve)).then(() => begun++);
  await turn();
  assert.equal(begun, 8);
  await until(5_000, "all of them", () => begun === 20, 1);
});

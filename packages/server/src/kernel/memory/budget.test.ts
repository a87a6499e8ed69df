import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Budget, split } from "./budget.ts";

const never = new AbortController().signal;
const patient = { signal: never, deadline: 60_000 };

test("bytes count for every level, and can be given back once", () => {
  const root = new Budget(100);
  const org = new Budget(60, root);
  const [one, two] = [new Budget(50, org), new Budget(50, org)];
  const hold = one.try(50)!;
  assert.deepEqual([one.used, org.used, root.used], [50, 50, 50]);
  assert.equal(two.try(11), undefined);
  assert.ok(two.try(10));
  hold.shrinkTo(20);
  hold.shrinkTo(30);
  assert.deepEqual([one.used, org.used, root.used], [20, 30, 30]);
  hold.release();
  hold.release();
  assert.deepEqual([one.used, org.used, root.used], [0, 10, 10]);
});

test("waiters are served in order, and a large one is not passed by small ones", async () => {
  const budget = new Budget(10);
  const first = budget.try(8)!;
  const served: string[] = [];
  const large = budget.take(9, patient).then((hold) => (served.push("large"), hold));
  const small = budget.take(1, patient).then((hold) => (served.push("small"), hold));
  assert.equal(budget.try(1), undefined);
  await sleep(1);
  assert.deepEqual(served, []);
  first.release();
  (await large).release();
  (await small).release();
  assert.deepEqual([served, budget.used], [["large", "small"], 0]);
});

test("a waiter in one branch is served when another branch gives back", async () => {
  const root = new Budget(10);
  const [orgA, orgB] = [new Budget(10, root), new Budget(10, root)];
  const [a, b, c] = [new Budget(10, orgA), new Budget(10, orgB), new Budget(10, orgB)];
  const held = a.try(10)!;
  const waiting = Promise.all([b.take(5, patient), c.take(5, patient)]);
  held.release();
  for (const hold of await waiting) hold.release();
  assert.equal(root.used, 0);
});

test("waiting ends with the deadline, with an abort, and at once for what can never fit", async () => {
  const budget = new Budget(10, new Budget(8));
  const held = budget.try(8)!;
  await assert.rejects(budget.take(9, patient), { code: "resource_exhausted" });
  await assert.rejects(budget.take(1, { signal: never, deadline: 5 }), { code: "resource_exhausted" });
  const abort = new AbortController();
  const aborted = budget.take(8, { signal: abort.signal, deadline: 60_000 });
  const behind = budget.take(1, patient);
  abort.abort(new Error("no longer"));
  await assert.rejects(aborted, { message: "no longer" });
  held.release();
  (await behind).release();
  assert.equal(budget.used, 0);
});

test("what was taken at once is given back in parts, each once", () => {
  const budget = new Budget(10);
  const [one, two] = split(budget.try(8)!, 2, 4);
  one!.release();
  one!.release();
  assert.equal(budget.used, 4);
  two!.shrinkTo(0);
  assert.equal(budget.used, 0);
  assert.deepEqual(split(budget.try(0)!, 0, 4), []);
});

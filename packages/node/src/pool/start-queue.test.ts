import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { StartQueue } from "./start-queue.ts";

/** Longer than any of these tests takes, milliseconds. */
const long = 60_000;

test("as many at a time as there are slots, in the order of their requests", async () => {
  const queue = new StartQueue({ slots: 2, patienceMs: long });
  const order: number[] = [];
  let running = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 20 }, async (_, number) => {
      const done = await queue.enter();
      order.push(number);
      most = Math.max(most, ++running);
      await sleep(1);
      running--;
      done();
      // A second call gives no second place.
      done();
    }),
  );
  assert.deepEqual(order, [...order.keys()]);
  assert.equal(most, 2);
  assert.equal(queue.crowded, false);
});

test("a turn that does not come in time is refused, and its place is not lost", async () => {
  const queue = new StartQueue({ slots: 1, patienceMs: 30 });
  const done = await queue.enter();
  await assert.rejects(queue.enter(), { code: "unavailable", message: /waits?\. .*Try again/ });
  assert.equal(queue.crowded, false);
  done();
  (await queue.enter())();
});

test("who goes away while waiting takes nobody's turn", async () => {
  const queue = new StartQueue({ slots: 1, patienceMs: long });
  const done = await queue.enter();
  const gone = new AbortController();
  const first = queue.enter(gone.signal);
  const second = queue.enter();
  assert.equal(queue.crowded, true);
  gone.abort(new Error("gone"));
  await assert.rejects(first, /gone/);
  done();
  (await second)();
  await assert.rejects(queue.enter(gone.signal), /gone/);
  (await queue.enter())();
});

test("a place that becomes free at the moment a request gives up is not lost", async () => {
  const queue = new StartQueue({ slots: 1, patienceMs: long });
  const done = await queue.enter();
  const gone = new AbortController();
  const waiting = queue.enter(gone.signal);
  gone.abort(new Error("gone"));
  done();
  await assert.rejects(waiting, /gone/);
  const next = AbortSignal.timeout(5000);
  (await queue.enter(next))();
});

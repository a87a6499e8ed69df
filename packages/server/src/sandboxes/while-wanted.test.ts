import assert from "node:assert/strict";
import { test } from "node:test";
import { whileWanted } from "./while-wanted.ts";

const never: AbortSignal = new AbortController().signal;

test("what is wanted arrives, and so does its failure", async () => {
  const discarded: number[] = [];
  const discard = (made: number) => void discarded.push(made);
  assert.equal(await whileWanted(Promise.resolve(1), never, discard), 1);
  await assert.rejects(whileWanted(Promise.reject<number>(new Error("failed")), never, discard), /failed/);
  assert.deepEqual(discarded, []);
});

for (const early of [true, false])
  test(`what is not wanted any more is not waited for, and discarded: ${early ? "before" : "while"} it is made`, async () => {
    const making = Promise.withResolvers<number>();
    const gone = new AbortController();
    if (early) gone.abort(new Error("gone"));
    const discarded = Promise.withResolvers<number>();
    const waiting = whileWanted(making.promise, gone.signal, discarded.resolve);
    gone.abort(new Error("gone"));
    await assert.rejects(waiting, /gone/);
    making.resolve(7);
    assert.equal(await discarded.promise, 7);
  });

test("a failure after the signal is nobody's", async () => {
  const making = Promise.withResolvers<number>();
  await assert.rejects(
    whileWanted(making.promise, AbortSignal.abort(new Error("gone")), () => assert.fail("nothing was made")),
    /gone/,
  );
  making.reject(new Error("failed"));
  await new Promise((resolve) => setImmediate(resolve));
});

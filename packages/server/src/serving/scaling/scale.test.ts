/** Time is an argument: each test tells what happens over minutes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decide, type Demand, type ScaleLimits, type ScaleState } from "./scale.ts";

const limits: ScaleLimits = { target: 10, min: 0, max: 5, idle: 60_000 };

function story(also: Partial<ScaleLimits> = {}) {
  let state: ScaleState = {};
  let instances = 0;
  return (now: number, demand: Partial<Demand>) => {
    const full: Demand = { stable: 0, panic: 0, current: 0, instances, lastRequest: 0, ...demand };
    const decision = decide(now, full, { ...limits, ...also }, state);
    ({ state } = decision);
    instances = decision.desired;
    return instances;
  };
}

test("nobody asks: nothing runs, or as many as the minimum says", () => {
  assert.equal(story()(1000, {}), 0);
  assert.equal(story({ min: 2 })(1000, {}), 2);
});

test("a burst grows at once, stays for a stable window, and then shrinks by half at a time", () => {
  const at = story();
  assert.equal(at(0, { stable: 1, panic: 45, current: 45 }), 5);
  assert.equal(at(10_000, { stable: 8, panic: 12, current: 12, lastRequest: 10_000 }), 5, "a panic never shrinks");
  assert.equal(at(59_000, { stable: 8, panic: 8, current: 8, lastRequest: 59_000 }), 5);
  assert.equal(at(61_000, { stable: 8, panic: 8, current: 8, lastRequest: 61_000 }), 2);
  assert.equal(at(63_000, { stable: 8, panic: 8, current: 8, lastRequest: 63_000 }), 1);
});

test("a slow rise follows the stable average and never exceeds the maximum", () => {
  const at = story();
  at(0, { stable: 5, panic: 5, current: 5 });
  assert.equal(at(2000, { stable: 11, panic: 12, current: 12, lastRequest: 2000 }), 2);
  assert.equal(at(4000, { stable: 900, panic: 15, current: 15, lastRequest: 4000 }), 5);
});

test("the last instance ends when nobody asked for the idle time, and not while a request is under way", () => {
  const at = story();
  at(0, { stable: 1, panic: 1, current: 1 });
  assert.equal(at(59_000, { lastRequest: 0 }), 1);
  assert.equal(at(600_000, { current: 1, lastRequest: 0 }), 1, "a long request");
  assert.equal(at(700_000, { lastRequest: 639_000 }), 0);
});

test("the minimum stays, however long nobody asks", () => {
  const at = story({ min: 1 });
  assert.equal(at(10_000_000, { lastRequest: 0 }), 1);
});

test("without data nothing shrinks", () => {
  const at = story();
  at(0, { stable: 30, panic: 30, current: 30, lastRequest: 0 });
  assert.equal(at(1000, { stable: undefined, panic: 0, current: 0, lastRequest: 0 }), 3);
});

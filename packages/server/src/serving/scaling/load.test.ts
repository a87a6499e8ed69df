import assert from "node:assert/strict";
import { test } from "node:test";
import { Load } from "./load.ts";

test("the average over a window is weighted by time", () => {
  const load = new Load(0);
  for (let i = 0; i < 10; i++) load.change(1, 1000);
  assert.equal(load.current, 10);
  assert.equal(load.average(2000, 3000), 10);
  for (let i = 0; i < 10; i++) load.change(-1, 4000);
  assert.equal(load.average(6000, 7000), 5);
  assert.equal(load.average(6000, 400_000), 0);
  assert.equal(load.covers(60_000, 59_999), false);
  assert.equal(load.covers(60_000, 60_000), true);
});

test("parts of a second count", () => {
  const load = new Load(0);
  load.change(1, 10_250);
  load.change(-1, 10_750);
  assert.equal(load.average(1000, 11_000), 0.5);
});

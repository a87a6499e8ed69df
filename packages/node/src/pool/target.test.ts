import assert from "node:assert/strict";
import { test } from "node:test";
import { hasMemoryToPrepare, poolTarget } from "./target.ts";

const config = { size: 2, minFreeMemory: 2048 };

test("the configured size without demand, up to twice as many with it", () => {
  const available = 16_000;
  assert.equal(poolTarget({ config, available, pooled: 0, demand: 0 }), 2);
  assert.equal(poolTarget({ config, available, pooled: 0, demand: 3 }), 3);
  assert.equal(poolTarget({ config, available, pooled: 0, demand: 100 }), 4);
});

test("scarce memory keeps the pool small and then empties it", () => {
  assert.equal(poolTarget({ config, available: 2150, pooled: 0, demand: 0 }), 1);
  assert.equal(poolTarget({ config, available: 2048, pooled: 2, demand: 0 }), 2);
  assert.equal(poolTarget({ config, available: 1000, pooled: 2, demand: 0 }), 0);
});

test("size 0 turns it off", () => {
  assert.equal(poolTarget({ config: { ...config, size: 0 }, available: 99_999, pooled: 0, demand: 50 }), 0);
});

test("a clone on a root disk is made when there is memory for it, and kept while the pool's reserve is untouched", () => {
  const { minFreeMemory } = config;
  assert.equal(hasMemoryToPrepare(minFreeMemory, { available: 2150, making: true }), true);
  assert.equal(hasMemoryToPrepare(minFreeMemory, { available: 2100, making: true }), false);
  assert.equal(hasMemoryToPrepare(minFreeMemory, { available: 2048, making: false }), true);
  assert.equal(hasMemoryToPrepare(minFreeMemory, { available: 2047, making: false }), false);
});

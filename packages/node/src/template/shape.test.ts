import assert from "node:assert/strict";
import { test } from "node:test";
import { shapeFor } from "./shape.ts";

const sizes = { memoryMin: 768, memoryDefault: 1280, memoryMax: 4096 };
const shapeOf = (memory: number) => shapeFor(2, memory, sizes, "tcg");

test("two templates serve every size, each with room to grow to the largest", () => {
  assert.deepEqual(shapeOf(768), shapeOf(1279));
  assert.deepEqual(shapeOf(1280), shapeOf(4096));
  for (const memory of [768, 1280]) {
    const { baseMemory, pluggableMemory } = shapeOf(memory);
    assert.ok(baseMemory > memory && baseMemory % 2 === 0);
    assert.ok(memory + pluggableMemory >= sizes.memoryMax && pluggableMemory % 128 === 0);
  }
});

/** When a full memory is a reason to end a program. The figures are from machines of 768 MiB. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryWatch, parseMemory, type MemoryUse } from "./memory.ts";

const limit = 585_699_328;
const stat = (own: number, files: number, again: number) =>
  parseMemory(
    limit,
    `anon ${own}\nfile ${files}\nkernel 1\nworkingset_refault_anon 0\nworkingset_refault_file ${again}\n`,
  );

/** How many looks it takes. */
function looks(uses: readonly (MemoryUse | undefined)[]): number | undefined {
  const watch = new MemoryWatch();
  const found = uses.findIndex((use) => watch.add(use));
  return found === -1 ? undefined : found + 1;
}

test("a program that only reads its own code again is found", () => {
  const seen = [
    [577_757_184, 4_784_128, 12_241],
    [577_810_432, 4_784_128, 38_405],
    [577_875_968, 4_661_248, 61_707],
    [578_064_384, 4_558_848, 95_216],
    [578_240_512, 4_317_184, 128_193],
    [578_404_352, 4_022_272, 160_033],
  ].map(([own = 0, files = 0, again = 0]) => stat(own, files, again));
  assert.equal(looks(seen), 6);
  // It is not enough for a moment.
  assert.equal(looks(seen.slice(0, 5)), undefined);
  assert.equal(looks(seen.map((use, i) => (i === 3 ? undefined : use))), undefined);
});

test("one that uses nearly all of its memory, or reads large files again and again, goes on", () => {
  const still = Array.from({ length: 20 }, () => stat(577_757_184, 4_784_128, 12_241));
  assert.equal(looks(still), undefined);
  // Its code fits: a little is read again.
  assert.equal(looks(Array.from({ length: 20 }, (_, i) => stat(550_000_000, 26_000_000, i * 1000))), undefined);
  assert.equal(looks(Array.from({ length: 20 }, (_, i) => stat(450_000_000, 130_000_000, i * 1_000_000))), undefined);
});

test("what is no statistics says nothing", () => {
  for (const text of ["", "anon -1\nfile x\n", "anon 1\nfile 2\n", `anon ${"9".repeat(400)}\n`])
    assert.equal(parseMemory(limit, text), undefined);
  assert.equal(parseMemory(Number.NaN, "anon 1\nfile 1\nworkingset_refault_file 1\n"), undefined);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { freshFileSystemBytes, sizesOf } from "./sizes.ts";

const plain = (id: string, formatted_bytes = 0) => ({ id, kind: "plain" as const, formatted_bytes });

test("a fresh file system has the documented size, what is written later is added as it is", () => {
  assert.deepEqual(sizesOf([plain("a", 950_272)], Object.fromEntries([["a", 950_272]]), null), {
    allocated: freshFileSystemBytes,
    flattened: freshFileSystemBytes,
  });
  assert.deepEqual(
    sizesOf([plain("a", 950_272)], Object.fromEntries([["a", 950_272 + 65_536]]), null).allocated,
    freshFileSystemBytes + 65_536,
  );
});

test("what a volume shares with its snapshot counts for the whole alone", () => {
  const rows = [plain("top"), plain("origin"), plain("bottom", 100)];
  const bytes = Object.fromEntries([
    ["top", 10],
    ["origin", 1000],
    ["bottom", 100],
  ]);
  assert.deepEqual(sizesOf(rows, bytes, "origin"), { allocated: 10, flattened: 1010 + freshFileSystemBytes });
  assert.equal(sizesOf(rows, bytes, null).allocated, 1010 + freshFileSystemBytes);
});

test("the built-in image counts nothing", () => {
  const rows = [
    { id: "top", kind: "root" as const, formatted_bytes: 0 },
    { id: "b", kind: "builtin" as const, formatted_bytes: 0 },
  ];
  assert.deepEqual(sizesOf(rows, Object.fromEntries([["b", 5e6]]), null), { allocated: 0, flattened: 0 });
});

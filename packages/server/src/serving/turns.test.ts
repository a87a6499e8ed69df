import assert from "node:assert/strict";
import { test } from "node:test";
import { Turns } from "./turns.ts";

test("each gets exactly its part, spread evenly, and other weights begin anew", () => {
  const turns = new Turns();
  const take = (count: number, ...weights: number[]) =>
    Array.from({ length: count }, () => turns.next(weights.map((weight, i) => ({ id: "abc"[i]!, weight })))).join("");
  assert.equal(take(8, 5, 2, 1), "abaacaba");
  assert.equal(take(8, 5, 2, 1), "abaacaba");
  const many = take(1000, 90, 10);
  assert.equal(many.replaceAll("a", "").length, 100);
  // A hundred in a row have ten, wherever they begin.
  for (let at = 0; at < 900; at += 7) assert.equal(many.slice(at, at + 100).replaceAll("a", "").length, 10);
  assert.equal(take(3, 1), "aaa");
});

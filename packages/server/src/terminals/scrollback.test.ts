import assert from "node:assert/strict";
import { test } from "node:test";
import { Scrollback } from "./scrollback.ts";

test("what fits is kept as it is", () => {
  const scrollback = new Scrollback(10);
  scrollback.add(Buffer.from("abc\n"));
  scrollback.add(Buffer.from("defgh\n"));
  assert.deepEqual([scrollback.content().toString(), scrollback.truncated], ["abc\ndefgh\n", false]);
});

test("the oldest goes first, and the rest begins with a line", () => {
  const scrollback = new Scrollback(10);
  for (const text of ["abc\n", "def\n", "ghi\n"]) scrollback.add(Buffer.from(text));
  assert.deepEqual([scrollback.content().toString(), scrollback.truncated], ["def\nghi\n", true]);
  scrollback.add(Buffer.from("a line of more than ten\nxy"));
  assert.equal(scrollback.content().toString(), "xy");
  scrollback.add(Buffer.from("0123456789"));
  assert.equal(scrollback.content().toString(), "0123456789");
});

test("many small pieces stay few", () => {
  const scrollback = new Scrollback(100_000);
  for (let index = 0; index < 10_000; index++) scrollback.add(Buffer.from("12345678\n"));
  assert.equal(scrollback.content().length, 90_000);
});

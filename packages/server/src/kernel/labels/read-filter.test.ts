import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePythonDict, readLabelFilter } from "./read-filter.ts";

test("both clients' ways to filter by labels are read", () => {
  assert.deepEqual(readLabelFilter(new URLSearchParams("labels[a]=b&labels[c%20d]=&limit=3")), { a: "b", "c d": "" });
  assert.deepEqual(readLabelFilter(new URLSearchParams({ labels: "{'a': 'b', 'c': \"it's\"}" })), {
    a: "b",
    c: "it's",
  });
  assert.deepEqual(readLabelFilter(new URLSearchParams({ labels: "None" })), {});
});

test("a Python repr is read with its escapes, and JSON as well", () => {
  assert.deepEqual(parsePythonDict("{}"), {});
  assert.deepEqual(parsePythonDict(String.raw`{'a\'b': 'c\\d', "x": "\n\x41\u00fc\U0001f600",}`), {
    "a'b": "c\\d",
    x: "\nA\u00fc\u{1f600}",
  });
  assert.deepEqual(parsePythonDict('{"a":"b"}'), { a: "b" });
});

test("what is no dictionary of strings is refused", () => {
  for (const text of [
    "",
    "{",
    "[]",
    "{'a'}",
    "{'a': 1}",
    "{'a': 'b' 'c'}",
    "{'a': {'b': 'c'}}",
    "{a: 'b'}",
    "x{'a': 'b'}",
  ]) {
    assert.throws(() => parsePythonDict(text), { code: "invalid_argument" }, text);
  }
});

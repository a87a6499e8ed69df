import assert from "node:assert/strict";
import { test } from "node:test";
import { endToEnd, headerList, headerValue, isWebSocketUpgrade, listValue } from "./fields.ts";

test("names in lower case, values without the space around them, every line of a field", () => {
  const raw = ["Host", "a.example \t", "X-A", " \t1", "x-a", "2", "Empty", "  \t ", "Inner", "a  b"];
  const expected = [
    ["host", "a.example"],
    ["x-a", "1"],
    ["x-a", "2"],
    ["empty", ""],
    ["inner", "a  b"],
  ];
  assert.deepEqual(headerList(raw), expected);
  assert.deepEqual(headerList(raw.map((text) => Buffer.from(text))), expected);
});

test("bytes above 127 stay as they are, and other white space belongs to a value", () => {
  assert.deepEqual(headerList([Buffer.from("x"), Buffer.from([0xc3, 0xa9, 0xa0])]), [["x", "\u00c3\u00a9\u00a0"]]);
});

test("a value of spaces costs linear time", () => {
  const began = performance.now();
  headerList(["x", `a${" ".repeat(2 ** 20)}b`]);
  assert.ok(performance.now() - began < 1_000);
});

test("fields of the connection are left out, also those that Connection names", () => {
  const headers = headerList(
    [
      "Connection",
      "close, X-Own",
      "x-own",
      "1",
      "TE",
      "trailers",
      "upgrade",
      "h2c",
      "accept",
      "*/*",
      "host",
      "a",
    ].concat(["Connection", "x-second"], ["x-second", "2"]),
  );
  assert.deepEqual(endToEnd(headers), [
    ["accept", "*/*"],
    ["host", "a"],
  ]);
});

test("one line, all lines, and upgrades", () => {
  const headers = headerList(["a", "1", "a", "2", "upgrade", "WebSocket"]);
  assert.equal(headerValue(headers, "a"), "1");
  assert.equal(listValue(headers, "a"), "1, 2");
  assert.equal(headerValue(headers, "b"), undefined);
  assert.equal(isWebSocketUpgrade(headers), true);
  assert.equal(isWebSocketUpgrade(headerList(["upgrade", "h2c"])), false);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { CaissonError } from "@caisson/protocol";
import { canonicalHost } from "./canonical-host.ts";
import { parsePattern, patternMatches, patternsOverlap } from "./pattern.ts";

const matches = (pattern: string, host: string, port = 443): boolean =>
  patternMatches(parsePattern(pattern), canonicalHost(host)!, port);

test("each form of the grammar matches what it says and nothing else", () => {
  assert.ok(matches("api.example.com", "API.example.com."));
  assert.ok(!matches("api.example.com", "evil-api.example.com"));
  assert.ok(!matches("api.example.com", "api.example.com.evil.test"));
  assert.ok(matches("api.example.com:8443", "api.example.com", 8443));
  assert.ok(!matches("api.example.com:8443", "api.example.com", 443));
  assert.ok(matches("*.example.com", "a.b.example.com"));
  assert.ok(!matches("*.example.com", "example.com"));
  assert.ok(!matches("*.example.com", "notexample.com"));
  assert.ok(!matches("*.example.com:443", "a.example.com", 80));
  assert.ok(matches("203.0.113.7", "203.0.113.7", 1));
  assert.ok(matches("203.0.113.7:22", "::ffff:203.0.113.7", 22));
  assert.ok(matches("[2001:db8::7]:443", "2001:db8:0::7", 443));
  assert.ok(matches("[::ffff:203.0.113.7]", "203.0.113.7"));
  assert.ok(!matches("203.0.113.7", "name.example"));
  assert.ok(matches("0xcb007107", "203.0.113.7"));
});

test("what is outside the grammar is refused with how to write it", () => {
  const bad = [
    "",
    " ",
    "*",
    "*:443",
    "*.*",
    "*.com",
    "a.*.com",
    "*a.example.com",
    "https://a.example",
    "a.example/path",
    "10.0.0.0/8",
    "user@a.example",
    "a.example:0",
    "a.example:99999",
    "a.example:x",
    "2001:db8::7",
    "*.203.0.113.7",
    "a b",
    "exa%6dple.com",
    "[::1",
  ];
  for (const source of bad) {
    assert.throws(
      () => parsePattern(source),
      (error) =>
        error instanceof CaissonError &&
        error.code === "invalid_argument" &&
        error.message.includes("Write `api.example.com`"),
      JSON.stringify(source),
    );
  }
});

test("overlap is found between every two forms", () => {
  const overlap = (a: string, b: string): boolean => {
    const [left, right] = [parsePattern(a), parsePattern(b)];
    assert.equal(patternsOverlap(left, right), patternsOverlap(right, left));
    return patternsOverlap(left, right);
  };
  assert.ok(overlap("a.example.com", "*.example.com"));
  assert.ok(overlap("*.b.example.com", "*.example.com"));
  assert.ok(overlap("a.example.com:443", "a.example.com"));
  assert.ok(!overlap("a.example.com:443", "a.example.com:80"));
  assert.ok(!overlap("*.example.com", "example.com"));
  assert.ok(!overlap("203.0.113.7", "*.example.com"));
});

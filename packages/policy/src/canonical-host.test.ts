import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalHost, formatHostAndPort, parseHostAndPort } from "./canonical-host.ts";

const text = (host: string): string | undefined => canonicalHost(host)?.text;

test("spellings of one name have one form", () => {
  for (const spelling of [
    "api.example.com",
    "API.Example.COM",
    "api.example.com.",
    "ａｐｉ.example.com",
    "api。example.com",
  ]) {
    assert.equal(text(spelling), "api.example.com", spelling);
  }
  assert.equal(text("BÜCHER.example"), "xn--bcher-kva.example");
  assert.equal(text("xn--bcher-kva.example"), "xn--bcher-kva.example");
});

test("look-alikes of another alphabet are other names", () => {
  const cyrillic = text("ap\u0456.example.com");
  assert.ok(cyrillic?.startsWith("xn--"));
  assert.notEqual(cyrillic, "api.example.com");
});

test("spellings of one IPv4 address have one form", () => {
  for (const spelling of [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "[::ffff:127.0.0.1]",
    "::ffff:7f00:1",
    "[0:0:0:0:0:ffff:7f00:0001]",
  ]) {
    assert.deepEqual(canonicalHost(spelling), { kind: "ip", text: "127.0.0.1" }, spelling);
  }
});

test("spellings of one IPv6 address have one form", () => {
  for (const spelling of ["2001:DB8::1", "[2001:db8:0:0:0:0:0:1]", "2001:0db8::0001"]) {
    assert.deepEqual(canonicalHost(spelling), { kind: "ip", text: "2001:db8::1" }, spelling);
  }
});

test("what is not exactly a host is refused", () => {
  const bad = [
    "",
    ".",
    "..",
    "a..b",
    ".a",
    "a b",
    "a/b",
    "a\\b",
    "user@host",
    "host?x",
    "host#x",
    "ex%61mple.com",
    "a\0b",
    "a\nb",
    "fe80::1%eth0",
    "[::1",
    "::1]",
    "[a.b]",
    "1.2.3.4.5",
    "256.1.1.1",
    "a.0x1",
    "-a.b",
    "a-.b",
    `${"a".repeat(64)}.com`,
    `${"a.".repeat(127)}com`,
    "a:b",
    "*.example.com",
    "a\u00adb\u0000",
    "x".repeat(2000),
  ];
  for (const spelling of bad) assert.equal(canonicalHost(spelling), undefined, JSON.stringify(spelling));
});

test("host and port are read strictly", () => {
  assert.deepEqual(parseHostAndPort("A.b:443"), { host: { kind: "name", text: "a.b" }, port: 443 });
  assert.deepEqual(parseHostAndPort("[::1]:80"), { host: { kind: "ip", text: "::1" }, port: 80 });
  for (const bad of [
    "a.b:",
    "a.b:0",
    "a.b:65536",
    "a.b:+80",
    "a.b: 80",
    "a.b:80:80",
    "::1:80",
    "u@a.b:80",
    "a.b:8e1",
    "[::1]80",
  ]) {
    assert.equal(parseHostAndPort(bad), undefined, bad);
  }
});

test("the canonical form is canonical, whatever comes in", () => {
  const alphabet = "aZ09.-_:[]%xX@/ \\ÜßⅧ。０ı\u200d*~";
  let seed = 42;
  const random = (below: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
  for (let round = 0; round < 20_000; round++) {
    const input = Array.from({ length: 1 + random(14) }, () => alphabet[random(alphabet.length)]).join("");
    const once = canonicalHost(input);
    if (once === undefined) continue;
    assert.deepEqual(canonicalHost(once.text), once, JSON.stringify(input));
    assert.match(once.text, /^[a-z0-9._:-]+$/, JSON.stringify(input));
    assert.deepEqual(parseHostAndPort(formatHostAndPort(once, 443)), { host: once, port: 443 });
  }
});

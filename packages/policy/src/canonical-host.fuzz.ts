/** Every spelling of a host has one reading, and only the reading that the policy names is allowed. */
import assert from "node:assert/strict";
import { isIP } from "node:net";
import { asText, fuzz, mutatedBytes } from "@caisson/testing/fuzz";
import fc from "fast-check";
import { canonicalHost, formatHostAndPort, parseHostAndPort } from "./canonical-host.ts";
import { compilePolicy } from "./policy.ts";

const policy = compilePolicy({ allow: ["api.test", "*.wild.test:8443", "192.0.2.7", "[2001:db8::1]:443"] });

function permitted(name: string, port: number): boolean {
  if (name === "api.test" || name === "192.0.2.7") return true;
  if (name.endsWith(".wild.test")) return port === 8443;
  return name === "2001:db8::1" && port === 443;
}

const part = fc.oneof(
  fc.constantFrom(
    "api",
    "test",
    "wild",
    ".",
    "..",
    ":",
    "[",
    "]",
    "@",
    "%",
    "%2e",
    "\\",
    "/",
    "#",
    "?",
    "\0",
    "xn--",
    "ﬀ",
    "。",
    "Ａ",
    "ß",
    "­",
    "0x7f",
    "0177",
    "127.1",
    "::1",
    "::ffff:",
    "2001:db8::1",
    "192.0.2.7",
    "443",
    ":8443",
    "-",
    "_",
    "\r\n",
    " ",
  ),
  fc.string({ unit: "binary", maxLength: 4 }),
);
const spelling = fc.array(part, { maxLength: 8 }).map((parts) => parts.join(""));

fuzz({
  name: "canonical-host",
  directory: import.meta.dirname,
  codec: asText,
  input: (seeds) =>
    fc.oneof(
      spelling,
      fc.tuple(fc.constantFrom(...seeds), spelling).map((two) => two.join("")),
      mutatedBytes(seeds.map((seed) => Buffer.from(seed))).map((bytes) => bytes.toString("utf8")),
    ),
  check(text) {
    const host = canonicalHost(text);
    if (host !== undefined) {
      assert.equal(isIP(host.text) !== 0, host.kind === "ip");
      assert.match(host.text, host.kind === "ip" ? /^[0-9a-f.:]+$/ : /^[a-z0-9_.-]{1,253}$/);
      assert.deepEqual(canonicalHost(host.text), host, "a canonical text is its own canonical text");
      assert.deepEqual(
        canonicalHost(text.replace(/[a-z]/g, (letter) => letter.toUpperCase())),
        host,
        "case changes nothing",
      );
    }
    const both = parseHostAndPort(text);
    if (both === undefined) return;
    assert.deepEqual(parseHostAndPort(formatHostAndPort(both.host, both.port)), both);
    const port = both.port ?? 443;
    assert.equal(policy.allows(both.host, port), permitted(both.host.text, port));
    // What a URL library would dial for this text is what was judged.
    const url = URL.parse(`http://${text}/`);
    assert.ok(url !== null && url.username === "" && url.pathname === "/", "a host that is more than a host");
    const dialled = canonicalHost(url.hostname);
    assert.equal(dialled?.text, both.host.text);
  },
});

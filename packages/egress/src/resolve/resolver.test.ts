/** Names that lead inside, names that change their mind, and what the operator opens on purpose. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { canonicalHost } from "@caisson/policy";
import { startNameServer, type NameServer } from "../testing/name-server.ts";
import { createResolver, type ResolverOptions } from "./resolver.ts";

const zone = new Map<string, string[]>();
let server: NameServer;
before(async () => {
  server = await startNameServer((name) => ({ addresses: zone.get(name) ?? [] }));
});
after(() => server.close());

const resolver = (options: Partial<ResolverOptions> = {}) =>
  createResolver({ resolve: {}, allowRanges: [], nameServers: [server.address], ...options });
const resolve = (host: string, port = 443, options: Partial<ResolverOptions> = {}) =>
  resolver(options).resolve(canonicalHost(host)!, port);

test("a public name is resolved to what the name server says", async () => {
  zone.set("public.test", ["203.0.113.9", "2001:db8::9", "203.0.113.5"]);
  const result = await resolve("public.test", 8443);
  assert.deepEqual(result, {
    ok: true,
    target: {
      addresses: ["203.0.113.5", "203.0.113.9", "2001:db8::9"],
      port: 8443,
      key: "203.0.113.5,203.0.113.9,2001:db8::9:8443",
    },
  });
});

test("a name that leads inside is refused, whichever way inside", async () => {
  for (const address of [
    "127.0.0.1",
    "10.1.2.3",
    "169.254.169.254",
    "100.64.0.1",
    "192.168.1.1",
    "::1",
    "fd00::1",
    "fe80::1",
    "::ffff:a00:1",
    "64:ff9b::a00:1",
    "0.0.0.0",
  ]) {
    zone.set("inside.test", [address]);
    const result = await resolve("inside.test");
    assert.ok(!result.ok && result.rule === "internal-address", address);
  }
});

test("one internal address among public ones is enough to refuse", async () => {
  zone.set("mixed.test", ["203.0.113.9", "127.0.0.1"]);
  assert.equal((await resolve("mixed.test")).ok, false);
});

test("a name that rebinds is judged by its new answer, never by the old verdict", async () => {
  const one = resolver();
  const host = canonicalHost("rebind.test")!;
  zone.set("rebind.test", ["203.0.113.9"]);
  assert.ok((await one.resolve(host, 443)).ok);
  zone.set("rebind.test", ["127.0.0.1"]);
  // Within the answer's time the checked address goes on being used; there is no second, unchecked look-up.
  const again = await one.resolve(host, 443);
  assert.ok(again.ok && again.target.addresses[0] === "203.0.113.9");
  assert.ok(!(await resolve("rebind.test")).ok);
});

test("addresses are judged without any question to a name server", async () => {
  const asked = server.questions.length;
  assert.ok((await resolve("203.0.113.7")).ok);
  for (const text of ["127.1", "0x7f000001", "[::1]", "[::ffff:169.254.169.254]", "2852039166"])
    assert.ok(!(await resolve(text)).ok, text);
  assert.equal(server.questions.length, asked);
});

test("a name without address is not found", async () => {
  const result = await resolve("nothing.test");
  assert.ok(!result.ok && result.rule === "name-not-found");
});

test("the operator's map wins, may lead inside, and is not asked about in DNS", async () => {
  const asked = server.questions.length;
  const options = { resolve: { "Mirror.test": "127.0.0.1:9443", "mirror.test:22": "10.0.0.1", "v6.test": "::1" } };
  const first = await resolve("mirror.test", 443, options);
  assert.ok(first.ok && first.target.key === "127.0.0.1:9443");
  const second = await resolve("mirror.test", 22, options);
  assert.ok(second.ok && second.target.key === "10.0.0.1:22");
  const third = await resolve("v6.test", 443, options);
  assert.ok(third.ok && third.target.addresses[0] === "::1");
  assert.equal(server.questions.length, asked);
});

test("ranges that the operator opens are open, their neighbours are not", async () => {
  zone.set("lan.test", ["10.1.2.3"]);
  zone.set("other.test", ["10.2.2.3"]);
  assert.ok((await resolve("lan.test", 443, { allowRanges: ["10.1.0.0/16"] })).ok);
  assert.ok(!(await resolve("other.test", 443, { allowRanges: ["10.1.0.0/16"] })).ok);
});

test("a wrong configuration is refused when it is read", () => {
  assert.throws(() => resolver({ allowRanges: ["10.0.0.0/99"] }));
  assert.throws(() => resolver({ allowRanges: ["lan"] }));
  assert.throws(() => resolver({ resolve: { "a.test": "b.test" } }));
});

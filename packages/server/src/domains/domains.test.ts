import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { App, AppDomain } from "@caisson/api";
import { startNameServer, type NameServer } from "@caisson/egress/testing";
import { appsSlice } from "../apps/index.ts";
import { certificatesSlice } from "../certificates/index.ts";
import { openSlices, type TestSlices } from "../testing/slices.ts";
import { domainsService, domainsSlice } from "./index.ts";
import { readDomain } from "./names.ts";

interface Answer<T> {
  readonly status: number;
  readonly body: T;
}

/** TXT records, by name. */
const records = new Map<string, string>();
let dns: NameServer;
before(async () => {
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  const of = (name: string) => (records.has(name) ? [text("another record"), text(records.get(name)!)] : undefined);
  dns = await startNameServer(() => ({ addresses: [] }), of);
});
after(() => dns.close());

for (const database of ["SQLite", "PostgreSQL"] as const)
  describe(`domains on ${database}`, () => {
    let opened: TestSlices;
    const open = (config: object) =>
      openSlices({
        database,
        slices: [certificatesSlice, appsSlice, domainsSlice],
        config: { apps: { domains: 2, nameServers: [dns.address], ...config } },
      });
    const call = async <T>(method: string, path: string, body?: object): Promise<Answer<T>> => {
      const response = await opened.request(method, path, body === undefined ? {} : { body });
      const text = await response.text();
      return { status: response.status, body: (text === "" ? undefined : JSON.parse(text)) as T };
    };
    const add = (app: string, domain: string) => call<AppDomain>("POST", `/api/v1/apps/${app}/domains`, { domain });
    const verify = (app: string, domain: string) =>
      call<AppDomain & { message: string }>("POST", `/api/v1/apps/${app}/domains/${domain}/verify`);
    const leadsTo = (domain: string) => opened.services.use(domainsService).find(domain);

    test("a domain is served when its DNS record is there, and whoever proves it last has it", async () => {
      opened = await open({});
      const changes: number[] = [];
      opened.services.use(domainsService).onChange(() => void changes.push(1));
      const one = (await call<App>("POST", "/api/v2/apps", { slug: "one" })).body;
      await call("POST", "/api/v2/apps", { slug: "two" });
      const added = await add("one", "Shop.Example.com.");
      assert.deepEqual([added.status, added.body.domain, added.body.status], [201, "shop.example.com", "pending"]);
      assert.deepEqual((await add("one", "shop.example.com")).body, added.body);
      const missing = await verify("one", "shop.example.com");
      assert.equal(missing.status, 409);
      assert.match(
        missing.body.message,
        /TXT record _caisson\.shop\.example\.com with the value caisson-domain=\w{40}/,
      );
      assert.equal(await leadsTo("shop.example.com"), undefined);
      const { name, value } = added.body.verification;
      records.set(name, value);
      assert.equal((await verify("one", "shop.example.com")).body.status, "verified");
      assert.deepEqual(await leadsTo("shop.example.com"), { org: opened.org.slug, app: "one" });
      assert.equal(changes.length, 1);
      // Who claims a domain and leaves it again changes nothing for the app that serves it.
      await add("two", "shop.example.com");
      assert.equal((await call("DELETE", "/api/v1/apps/two/domains/shop.example.com")).status, 204);
      assert.equal(changes.length, 1);
      // The record of one app proves nothing for another.
      const second = await add("two", "shop.example.com");
      assert.equal((await verify("two", "shop.example.com")).status, 409);
      records.set(name, second.body.verification.value);
      assert.equal((await verify("two", "shop.example.com")).status, 200);
      assert.equal((await leadsTo("shop.example.com"))?.app, "two");
      const listed = (await call<AppDomain[]>("GET", `/api/v1/apps/${one.id}/domains`)).body;
      assert.deepEqual([listed.length, listed[0]?.status], [1, "pending"]);
      await call("DELETE", "/api/v2/apps/two");
      assert.equal(await leadsTo("shop.example.com"), undefined);
      assert.equal(changes.length, 3);
      records.clear();
    });

    test("what is not allowed is refused with its reason", async () => {
      await add("one", "a.example.com");
      assert.equal((await add("one", "b.example.com")).status, 429);
      assert.equal((await add("none", "b.example.com")).status, 404);
      assert.equal((await verify("one", "b.example.com")).status, 404);
      assert.equal((await call("DELETE", "/api/v1/apps/one/domains/a.example.com")).status, 204);
      assert.equal((await call("DELETE", "/api/v1/apps/one/domains/a.example.com")).status, 404);
      await Promise.all(["c", "d", "e", "f"].map((label) => add("one", `${label}.example.com`)));
      assert.ok((await call<AppDomain[]>("GET", "/api/v1/apps/one/domains")).body.length <= 2);
      await opened.close();
    });

    test("where the operator trusts all organisations, the first app has a domain", async () => {
      opened = await open({ verifyDomains: false });
      for (const slug of ["one", "two"]) await call("POST", "/api/v2/apps", { slug });
      assert.equal((await add("one", "shop.example.com")).body.status, "verified");
      assert.equal((await add("two", "shop.example.com")).status, 409);
      assert.deepEqual((await call("GET", "/api/v1/apps/two/domains")).body, []);
      await opened.close();
    });
  });

test("names that cannot be a domain of an app", () => {
  const bad = [
    "localhost",
    "com",
    "1.2.3.4",
    "a..b.com",
    "*.example.com",
    "-a.example.com",
    "x_y.example.com",
    "[::1]",
  ];
  for (const name of [...bad, "x.previews.test", "previews.test", "db.internal", `${"a.".repeat(200)}com`, "a b.com"])
    assert.throws(() => readDomain(name, "previews.test"), { code: "invalid_argument" }, name);
  const longest = `${"a".repeat(60)}.`.repeat(3) + `${"a".repeat(57)}.com`;
  assert.equal(readDomain(longest, "previews.test").length, 244);
  assert.throws(() => readDomain(`a${longest}`, "previews.test"), { code: "invalid_argument" });
  assert.equal(readDomain("bücher.example", "previews.test"), "xn--bcher-kva.example");
});

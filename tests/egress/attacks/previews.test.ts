/**
 * Row 22: public addresses of exposed ports. The attacks come from outside, so they have no table of probes; that each is seen to
 * come through where nothing stands in its way is shown by `node tests/egress/prove-attacks-can-fail.ts public`.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { sharedPlatform } from "@caisson/testing";
import { previewAttacks } from "./previews/attacks.ts";
import { realWorld, talk } from "./previews/world.ts";

const platform = await sharedPlatform();

describe("Public addresses", { timeout: 240_000 }, () => {
  let world: Awaited<ReturnType<typeof realWorld>>;
  before(async () => {
    world = await realWorld(platform);
  });
  after(() => world?.close());

  for (const { name, run } of previewAttacks) {
    test(`22: ${name}`, async () => {
      const success = await run(world, randomBytes(12).toString("hex"));
      assert.equal(success, undefined, `came through: ${success}`);
      assert.match(await ask(world.own.host), /program own$/, "its own address no longer works");
      assert.match(await ask(world.other.host), /program other$/, "the other's address no longer works");
    });
  }

  test("22: names are bounded, never the same, and lead nowhere after the end", async () => {
    const names = [world.other.host];
    for (;;) {
      const next = await world.sandboxes[1]!.exposeHttp({ port: 8080 }).catch((error: unknown) => String(error));
      if (!next.startsWith("https://")) {
        assert.match(next, /429.*already holds 16 names/);
        break;
      }
      names.push(new URL(next).hostname);
      assert.ok(names.length <= 16);
    }
    assert.equal(new Set(names).size, 16);
    for (const host of names) assert.match(await ask(host), /program other$/, host);
    await world.sandboxes[1]!.kill();
    for (const host of names) assert.match(await ask(host), /^HTTP\/1\.1 410 /, host);
    await using next = await Sandbox.create({ port: 8080, allowNet: [] });
    assert.ok(!names.includes(new URL(next.url!).hostname));
    for (const host of names) assert.match(await ask(host), /^HTTP\/1\.1 410 /, host);
  });

  const ask = (host: string) =>
    talk(world.gatewayPort, `GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`, host);
});

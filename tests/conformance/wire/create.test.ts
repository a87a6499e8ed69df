/** The create and connect upgrades: configuration header, refusals, encodings. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sharedPlatform, UpgradeRefused, WireClient, type WireOptions } from "@caisson/testing";

const { env } = await sharedPlatform();

async function refusal(options: Omit<WireOptions, "env">): Promise<UpgradeRefused> {
  const outcome = await WireClient.open({ env, ...options }).catch((error: unknown) => error);
  if (outcome instanceof WireClient) await outcome.close();
  assert.ok(
    outcome instanceof UpgradeRefused,
    `${JSON.stringify(options)}: ${outcome instanceof WireClient ? "accepted" : String(outcome)}`,
  );
  const body = JSON.parse(outcome.body) as { code: unknown; message: unknown };
  assert.deepEqual([typeof body.code, typeof body.message], ["string", "string"]);
  return outcome;
}

const base64 = (text: string, encoding: BufferEncoding = "utf8"): string =>
  Buffer.from(text, encoding).toString("base64");

test("a missing, undecodable or senseless configuration is 400 and says why", async () => {
  await refusal({ withoutConfig: true }).then((error) => assert.equal(error.status, 400));
  const bad: unknown[] = [
    "%%%",
    base64("not json"),
    base64("[]"),
    base64("null"),
    { memory_mb: 100 },
    { memory_mb: 5000 },
    { memory_mb: "1280" },
    { memory_mb: 1280, timeout: "soon" },
    { memory_mb: 1280, timeout: "31m" },
    { memory_mb: 1280, stop_at_ms: Date.now() + 31 * 60_000 + 60_000 },
    { memory_mb: 1280, stop_at_ms: 1000 },
    { memory_mb: 1280, labels: { a: 1 } },
    { memory_mb: 1280, allow_net: "example.com" },
    { memory_mb: 1280, allow_net: ["http://example.com/"] },
    { memory_mb: 1280, secrets: { KEY: { hosts: [], value: "x" } } },
    { memory_mb: 1280, root: { volume: "no-such-volume" } },
    { memory_mb: 1280, volumes: [{ volume: "no-such-volume", path: "/data" }] },
  ];
  for (const config of bad) {
    const { status } = await refusal({ config });
    assert.ok(status === 400 || status === 404, `${JSON.stringify(config)}: ${status}`);
  }
});

test("a bad token is 401 INVALID_TOKEN, before anything else is looked at", async () => {
  for (const authorization of ["", "Bearer", "Bearer ddo_wrong", "Basic eDp5"]) {
    const error = await refusal({ headers: { authorization }, config: "%%%" });
    assert.equal(error.status, 401, authorization);
    assert.equal((JSON.parse(error.body) as { code: string }).code, "INVALID_TOKEN");
  }
});

test("another organisation's name is refused", async () => {
  const { status } = await refusal({ headers: { "x-deno-org": "somebody-else" } });
  assert.ok(status === 401 || status === 403, String(status));
});

test("connect to nothing, or to no id at all, is 404", async () => {
  for (const id of ["sbx_ord_00000000000000000000", "nonsense", "..%2f..%2fcreate", "sbx_ord_ILO"]) {
    assert.equal((await refusal({ id })).status, 404, id);
  }
});

test("the header is UTF-8, else Latin-1", async () => {
  const config = JSON.stringify({ memory_mb: 1280, env: { UMLAUT: "grün" }, labels: { text: "ü" } });
  for (const encoding of ["utf8", "latin1"] as const) {
    const client = await WireClient.open({ env, config: base64(config, encoding) });
    assert.equal(await client.ok("envGet", { key: "UMLAUT" }), "grün", encoding);
    await client.close();
  }
});

test("a large configuration fits", async () => {
  const value = "x".repeat(2_000);
  const large = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`LARGE_${index}`, value]));
  const client = await WireClient.open({ env, config: { memory_mb: 1280, env: large } });
  assert.equal(await client.ok("envGet", { key: "LARGE_19" }), value);
  await client.close();
});

test("both shapes of volumes, and keys of either client, are understood", async () => {
  const client = await WireClient.open({
    env,
    config: {
      memory_mb: 1280,
      volumes: {},
      debug: true,
      region: "ord",
      timeout: "session",
      labels: {},
      ssh: false,
      env: { A: "b" },
    },
  });
  assert.equal(await client.ok("envGet", { key: "A" }), "b");
  await client.close();
});

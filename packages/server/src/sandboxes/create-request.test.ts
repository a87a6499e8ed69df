import assert from "node:assert/strict";
import { test } from "node:test";
import { configSchema } from "@caisson/protocol";
import { checkCreateConfig, checkStopAt } from "./create-request.ts";

const config = configSchema.parse({});
const now = 1_795_000_000_000;
const check = (raw: unknown) => checkCreateConfig(raw, config, now);

test("an empty configuration is a session with the default memory and an open network", () => {
  assert.deepEqual(check({}), {
    session: true,
    stopAt: null,
    memory: 1280,
    labels: {},
    allowNet: undefined,
    network: {},
    secrets: {},
    env: {},
    root: undefined,
    volumes: [],
  });
});

test("lifetimes of both clients", () => {
  assert.deepEqual([check({ timeout: "session" }).session, check({ timeout: null }).session], [true, true]);
  assert.equal(check({ timeout: "30s" }).stopAt, now + 30_000);
  assert.equal(check({ timeout: "30m" }).stopAt, now + 1_800_000);
  assert.equal(check({ stop_at_ms: now + 5000 }).stopAt, now + 5000);
  for (const timeout of ["", "5", "5h", "0s", "-5s", "1.5m", "31m", "9999999s", "5 m"])
    assert.throws(() => check({ timeout }), { code: "invalid_argument" }, timeout);
  for (const stop_at_ms of [now, now - 1, 1.5, now + 32 * 60_000])
    assert.throws(() => check({ stop_at_ms }), { code: "invalid_argument" });
});

test("a client's clock may be a little ahead; what is granted is not", () => {
  assert.equal(checkStopAt(now + 30 * 60_000 + 30_000, config, now), now + 30 * 60_000);
});

test("memory and labels have the documented limits", () => {
  for (const memory_mb of [768, 4096]) assert.equal(check({ memory_mb }).memory, memory_mb);
  for (const memory_mb of [767, 4097, 1280.5, "1280"])
    assert.throws(() => check({ memory_mb }), { code: "invalid_argument" });
  const five = Object.fromEntries(Array.from({ length: 5 }, (_, index) => [`k${index}`, "v"]));
  assert.deepEqual(check({ labels: five }).labels, five);
  assert.doesNotThrow(() => check({ labels: { ["ü".repeat(32)]: "v".repeat(128) } }));
  for (const labels of [
    { ...five, k6: "v" },
    { ["ü".repeat(33)]: "v" },
    { "": "v" },
    { k: "v".repeat(129) },
    { k: 1 },
  ]) {
    assert.throws(() => check({ labels }), { code: "invalid_argument" });
  }
});

test("both shapes of volumes and of the root are read", () => {
  assert.deepEqual(check({ volumes: [{ volume: "v", path: "/d" }] }).volumes, [{ volume: "v", path: "/d" }]);
  assert.deepEqual(check({ volumes: { "/d": "v" } }).volumes, [{ volume: "v", path: "/d" }]);
  assert.deepEqual([check({ root: { volume: "v" } }).root, check({ root: "v" }).root], ["v", "v"]);
});

test("a secret needs hosts, a value and a name that is one; no message repeats a value", () => {
  assert.doesNotThrow(() => check({ secrets: { KEY_1: { hosts: ["a.example"], value: "x" } } }));
  for (const secrets of [
    { KEY: { hosts: [], value: "hunter2" } },
    { KEY: { value: "hunter2" } },
    { KEY: { hosts: ["a"], value: "" } },
    { "A=B": { hosts: ["a"], value: "hunter2" } },
  ]) {
    assert.throws(
      () => check({ secrets }),
      (error: Error & { code: string }) => error.code === "invalid_argument" && !error.message.includes("hunter2"),
    );
  }
});

test("variables are names and texts", () => {
  assert.deepEqual(check({ env: { A: "b\nc" } }).env, { A: "b\nc" });
  for (const env of [{ "1A": "b" }, { A: "\0" }, { A: 1 }, { "": "b" }])
    assert.throws(() => check({ env }), { code: "invalid_argument" });
});

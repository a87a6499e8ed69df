import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { check } from "./check.ts";
import { rpcMethods } from "./rpc/methods.ts";

test("a good value comes out as safeParse gives it", () => {
  const value = { command: "ls", args: ["-l"], env: null, other: 1 };
  assert.deepEqual(check(rpcMethods.spawn.params, value), {
    success: true,
    data: rpcMethods.spawn.params.parse(value),
  });
});

test("few faults are reported as safeParse does", () => {
  const schema = z.object({ path: z.string(), list: z.array(z.int()), choice: z.union([z.string(), z.number()]) });
  for (const bad of [{}, { path: 1, list: ["a", 1.5], choice: null }, null, 7]) {
    const checked = check(schema, bad);
    assert.ok(!checked.success);
    assert.deepEqual(checked.faults, schema.safeParse(bad).error!.issues);
  }
});

const many = Array.from({ length: 500_000 }, () => "a");
const wrong = many.map(() => 1);

test("half a million faults cost little", () => {
  const keys = Object.fromEntries(many.slice(0, 100_000).map((_, index) => [`${index}=`, 1]));
  for (const [schema, value] of [
    [rpcMethods.spawn.params, { command: "x", args: wrong }],
    [rpcMethods.spawn.params, { command: "x", args: many, env: keys }],
    [rpcMethods.spawnDeno.params, { code: "x", scriptArgs: wrong }],
    [rpcMethods.fetch.params, { url: "http://x", headers: wrong }],
    [rpcMethods.fetch.params, { url: "http://x", headers: [wrong, ...wrong] }],
    [rpcMethods.walk.params, { path: "x", options: { exts: wrong } }],
    [z.object({ x: z.record(z.string(), z.object({ hosts: z.array(z.string()) })) }), { x: { a: { hosts: wrong } } }],
    [
      rpcMethods.spawn.params,
      { command: "x", env: Object.fromEntries(many.slice(0, 100_000).map((_, index) => [index, wrong])) },
    ],
    [rpcMethods.readDir.params, { more: many.slice(0, 5000).map(() => wrong.slice(0, 100)) }],
  ] as const) {
    const before = process.cpuUsage();
    const checked = check(schema, value);
    const { user, system } = process.cpuUsage(before);
    assert.ok(!checked.success);
    assert.ok(checked.faults.length <= 20);
    assert.ok(JSON.stringify(checked.faults).length < 20_000);
    // Processor time, microseconds. Without parts it is seconds to minutes.
    assert.ok(user + system < 2_000_000, `${(user + system) / 1000} ms`);
  }
});

test("long lists that are right pass, and the one wrong element is named", () => {
  const env = Object.fromEntries(many.slice(0, 20_000).map((_, index) => [`K${index}`, "v"]));
  const good = { command: "x", args: many, env };
  assert.deepEqual(check(rpcMethods.spawn.params, good), { success: true, data: rpcMethods.spawn.params.parse(good) });
  assert.ok(good.args === many && good.env === env);
  const headers = many.slice(0, 1000).map(() => ["a", "b"]);
  headers[777] = ["a"];
  const checked = check(rpcMethods.fetch.params, { url: "x", headers });
  assert.deepEqual(checked.success ? [] : checked.faults.map(({ path }) => path), [["headers", 777]]);
  const nested = { lists: many.slice(0, 200).map((_, at) => (at === 130 ? { list: [...many.slice(0, 99), 7] } : {})) };
  const schema = z.object({ lists: z.array(z.object({ list: z.array(z.string()).optional() })) });
  const found = check(schema, nested);
  assert.deepEqual(found.success ? [] : found.faults.map(({ path }) => path), [["lists", 130, "list", 99]]);
});

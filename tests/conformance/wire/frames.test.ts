/** What a client must be able to rely on below its methods: frames, pings, ids, requests that make no sense. On a bare WebSocket. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { sharedPlatform, until, within, WireClient } from "@caisson/testing";

const { env } = await sharedPlatform();
const client = await WireClient.open({ env });
after(() => client.close());

const connect = (): Promise<WireClient> => WireClient.open({ env, id: client.sandboxId });

test("create and connect name the sandbox in the 101", async () => {
  assert.match(client.sandboxId, /^sbx_[a-z]{3}_[0-9a-hjkmnp-z]{20}$/);
  assert.equal(client.socket.protocol, "");
  const second = await connect();
  assert.equal(second.sandboxId, client.sandboxId);
  await second.close();
});

test("text ping is answered with text pong, and only then", async () => {
  const quiet = await connect();
  quiet.sendText("ping");
  quiet.sendText("ping");
  await until(5_000, "two pongs", () => quiet.frames.length === 2);
  assert.deepEqual(
    quiet.frames.map((frame) => frame.text),
    ["pong", "pong"],
  );
  await quiet.close();
});

test("protocol pings are answered with their payload", async () => {
  const pong = new Promise<string>((resolve) => client.socket.once("pong", (data) => resolve(data.toString())));
  client.socket.ping("payload");
  assert.equal(await within(5_000, "the pong", pong), "payload");
});

test("frames may be binary", async () => {
  const binary = await connect();
  binary.socket.send(Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 7, method: "envGet", params: { key: "HOME" } })));
  assert.deepEqual((await binary.reply(7)).result, { ok: "/home/app" });
  await binary.close();
});

test("ids come back as they were sent", async () => {
  for (const id of [0, 4242, "text", "4242"]) {
    client.request("envGet", { key: "HOME" }, id);
    const reply = await client.reply(id);
    assert.deepEqual(reply, { jsonrpc: "2.0", id, result: { ok: "/home/app" } });
  }
});

test("an unknown method is -32601, in the very words", async () => {
  for (const method of ["noSuchMethod", "constructor", "__proto__", "toString", ""]) {
    const { error, result } = await client.call(method, {});
    assert.equal(result, undefined);
    assert.deepEqual([error?.code, error?.message], [-32601, "Method not found"], method);
  }
});

test("bad parameters are -32602, with what was expected where", async () => {
  const cases: [string, unknown][] = [
    ["readTextFile", {}],
    ["readTextFile", { path: 5 }],
    ["spawn", { command: "true", stdout: "sideways", stderr: "null" }],
    ["fileRead", { fileHandleId: "x", length: 1 }],
  ];
  for (const [method, params] of cases) {
    const { error } = await client.call(method, params);
    assert.equal(error?.code, -32602, `${method} ${JSON.stringify(params)}`);
    const data = error.data as { constructorName: string; message: string };
    assert.equal(data.constructorName, "ZodError");
    const issues = JSON.parse(data.message) as {
      expected: unknown;
      code: unknown;
      path: unknown[];
      message: unknown;
    }[];
    assert.ok(issues.length > 0);
    for (const issue of issues) {
      assert.deepEqual(
        [typeof issue.expected, typeof issue.code, typeof issue.message],
        ["string", "string", "string"],
      );
      assert.ok(issue.path.every((part) => typeof part === "string"));
    }
  }
});

test("absent, null and unknown parameters are all the same", async () => {
  await client.ok("writeTextFile", {
    path: "/tmp/nulls",
    content: "x",
    options: { append: null, create: null, mode: null, what: 1 },
    stdin: "null",
  });
  assert.equal(await client.ok("readTextFile", { path: "/tmp/nulls", options: {}, abortId: null }), "x");
  const spawned = (await client.ok("spawn", {
    command: "true",
    args: null,
    env: null,
    clearEnv: null,
    cwd: null,
    stdinStreamId: null,
    stdout: "null",
    stderr: "null",
    signal: null,
  })) as { pid: number };
  assert.equal(((await client.ok("processWait", { pid: spawned.pid })) as { code: number }).code, 0);
});

test("replies have every key that clients insist on", async () => {
  assert.deepEqual((await client.call("envSet", { key: "K", value: "v" })).result, { ok: null });
  assert.deepEqual((await client.call("envGet", { key: "UNSET" })).result, { ok: null });
  const spawned = (await client.ok("spawn", { command: "true", stdout: "null", stderr: "null" })) as object;
  assert.deepEqual(Object.keys(spawned).toSorted(), ["pid", "stderrStreamId", "stdoutStreamId"]);
  const status = (await client.ok("processWait", { pid: (spawned as { pid: number }).pid })) as object;
  assert.deepEqual(status, { success: true, code: 0, signal: null, oom: null });
  const info = (await client.ok("stat", { path: "/tmp" })) as Record<string, unknown>;
  assert.equal(Object.values(info).filter((value) => value !== null && value !== undefined).length, 21);
});

test("an abort for something unknown or finished is answered with null", async () => {
  assert.deepEqual((await client.call("abort", { abortId: 999_999 })).result, { ok: null });
  await client.ok("readTextFile", { path: "/etc/hostname", abortId: 5 });
  assert.deepEqual((await client.call("abort", { abortId: 5 })).result, { ok: null });
});

test("a kill of an unknown process is a TypeError with ENOENT", async () => {
  const { result } = await client.call("processKill", { pid: 999_999 });
  assert.deepEqual([result?.error?.constructorName, result?.error?.code], ["TypeError", "ENOENT"]);
});

test("an AbortError carries no code", async () => {
  await client.ok("spawn", { command: "mkfifo", args: ["/tmp/abort-fifo"], stdout: "null", stderr: "null" });
  await until(
    10_000,
    "the fifo",
    async () => (await client.call("stat", { path: "/tmp/abort-fifo" })).result?.ok !== undefined,
  );
  const id = client.request("readFile", { path: "/tmp/abort-fifo", abortId: 77 });
  await client.ok("abort", { abortId: 77 });
  const { result } = await client.reply(id);
  assert.deepEqual([result?.error?.constructorName, result?.error?.name], ["DOMException", "AbortError"]);
  assert.ok(result?.error?.code === null || result?.error?.code === undefined);
});

test("what is not JSON, and what is JSON but no request, closes the connection with its code", async () => {
  const noJson = await connect();
  noJson.sendText("{");
  assert.equal((await within(5_000, "the close", noJson.closed)).code, 4000);
  for (const text of [
    "[]",
    "5",
    '"x"',
    '{"jsonrpc":"2.0","id":1}',
    '{"jsonrpc":"1.0","id":1,"method":"envGet","params":{}}',
  ]) {
    const noRequest = await connect();
    noRequest.sendText(text);
    // An error reply instead of a close is as good: nothing else may happen, and never a reply without an id.
    const first = await Promise.race([noRequest.closed, until(5_000, "an answer", () => noRequest.frames[0])]);
    if ("code" in first) assert.equal(first.code, 4001, text);
    else assert.ok(first.json?.["id"] !== null && first.json?.["error"] !== undefined, `${text} got ${first.text}`);
    noRequest.socket.terminate();
  }
});

test("unknown notifications are ignored", async () => {
  client.notify("$sandbox.unknown", { a: 1 });
  client.notify("$sandbox.stream.enqueue", { streamId: 123_456, data: "eA==" });
  client.notify("$sandbox.stream.cancel", { streamId: 123_456, reason: null });
  client.notify("$sandbox.stream.end", { streamId: 123_456 });
  assert.equal(await client.ok("envGet", { key: "HOME" }), "/home/app");
});

test("requests run side by side", async () => {
  const slow = (await client.ok("spawn", { command: "sleep", args: ["1000"], stdout: "null", stderr: "null" })) as {
    pid: number;
  };
  const wait = client.request("processWait", { pid: slow.pid });
  assert.equal(await client.ok("envGet", { key: "HOME" }), "/home/app");
  await client.ok("processKill", { pid: slow.pid, signal: "SIGKILL" });
  assert.deepEqual((await client.reply(wait)).result?.ok, { success: false, code: 137, signal: "SIGKILL", oom: null });
});

test("no frame is near the limit of the strictest client", async () => {
  await client.ok("spawn", {
    command: "sh",
    args: ["-c", "head -c 600000 /dev/zero > /tmp/600k"],
    stdout: "null",
    stderr: "null",
  });
  await until(
    10_000,
    "the file",
    async () =>
      ((await client.ok("stat", { path: "/tmp/600k" }).catch(() => ({}))) as { size?: number }).size === 600_000,
  );
  assert.equal(Buffer.from(String(await client.ok("readFile", { path: "/tmp/600k" })), "base64").length, 600_000);
  const spawned = (await client.ok("spawn", {
    command: "cat",
    args: ["/tmp/600k", "/tmp/600k"],
    stdout: "piped",
    stderr: "null",
  })) as {
    pid: number;
    stdoutStreamId: number;
  };
  client.request("processWait", { pid: spawned.pid });
  assert.equal((await client.streamBytes(spawned.stdoutStreamId)).length, 1_200_000);
  const chunks = client.stream(spawned.stdoutStreamId).filter((event) => event.kind === "enqueue");
  assert.ok(Math.max(...chunks.map((chunk) => chunk.data.length)) <= 65_536);
});

/** The stream sub-protocol: order, hold-back, cancel, ends. Official clients hang or die where a server gets these wrong. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { sharedPlatform, until, WireClient } from "@caisson/testing";

const { env } = await sharedPlatform();
const client = await WireClient.open({ env });
after(() => client.close());

interface Spawned {
  readonly pid: number;
  readonly stdoutStreamId: number;
  readonly stderrStreamId: number;
}

async function spawn(script: string, params: object = {}, on = client): Promise<Spawned> {
  return (await on.ok("spawn", {
    command: "bash",
    args: ["-c", script],
    stdout: "piped",
    stderr: "piped",
    ...params,
  })) as Spawned;
}

function kinds(streamId: number, on = client): string[] {
  return on.stream(streamId).map((event) => event.kind);
}

test("start, data, end: in that order, no empty data, one end", async () => {
  const { pid, stdoutStreamId, stderrStreamId } = await spawn("echo one; sleep 0.2; echo two; true >&2");
  client.request("processWait", { pid });
  assert.equal((await client.streamBytes(stdoutStreamId)).toString(), "one\ntwo\n");
  assert.equal((await client.streamBytes(stderrStreamId)).length, 0);
  assert.deepEqual(kinds(stderrStreamId), ["start", "end"]);
  const events = client.stream(stdoutStreamId);
  assert.equal(events[0]?.kind, "start");
  assert.equal(events.at(-1)?.kind, "end");
  assert.equal(events.filter((event) => event.kind === "end").length, 1);
  assert.ok(events.slice(1, -1).every((event) => event.kind === "enqueue" && event.data.length > 0));
});

test("the end of a process is told after its output, unless others hold that open for longer", async () => {
  const soon = await spawn("(sleep 0.1; echo inherited) &");
  assert.deepEqual(await client.ok("processWait", { pid: soon.pid }), {
    success: true,
    code: 0,
    signal: null,
    oom: null,
  });
  assert.ok(kinds(soon.stdoutStreamId).includes("enqueue"));

  const late = await spawn("(sleep 5; echo inherited) &");
  await client.ok("processWait", { pid: late.pid });
  assert.deepEqual(kinds(late.stdoutStreamId), ["start"]);
});

test("output is held back until the client waits for the process", async () => {
  const { pid, stdoutStreamId } = await spawn("echo early");
  const before = client.frames.length;
  // Several answered calls later there is still nothing: the hold-back is by message, not by luck.
  for (let round = 0; round < 5; round++) await client.ok("envGet", { key: "HOME" });
  assert.deepEqual(kinds(stdoutStreamId), []);
  assert.ok(client.frames.length >= before);
  client.request("processWait", { pid });
  assert.equal((await client.streamBytes(stdoutStreamId)).toString(), "early\n");
});

test("without a wait the output comes all the same, a little later", async () => {
  const { stdoutStreamId } = await spawn("echo late");
  assert.equal((await client.streamBytes(stdoutStreamId, 10_000)).toString(), "late\n");
});

test("after a cancel nothing more comes for that stream", async () => {
  const { pid, stdoutStreamId } = await spawn("yes");
  client.request("processWait", { pid });
  await until(10_000, "output", () => client.stream(stdoutStreamId).length > 3);
  client.notify("$sandbox.stream.cancel", { streamId: stdoutStreamId, reason: null });
  // The answer to a later call marks the point after which the cancel is known to have been read.
  await client.ok("envGet", { key: "HOME" });
  const seen = client.stream(stdoutStreamId).length;
  await client.call("processKill", { pid, signal: "SIGKILL" });
  await client.ok("processWait", { pid });
  for (let round = 0; round < 5; round++) await client.ok("envGet", { key: "HOME" });
  assert.equal(client.stream(stdoutStreamId).length, seen);
  assert.ok(!kinds(stdoutStreamId).includes("end"));
});

test("ids of streams are unique over all connections of the server", async () => {
  const second = await WireClient.open({ env, id: client.sandboxId });
  const other = await WireClient.open({ env });
  const seen = new Set<number>();
  for (const connection of [client, second, other, client, second, other]) {
    const { stdoutStreamId, stderrStreamId } = await spawn("true", {}, connection);
    seen.add(stdoutStreamId).add(stderrStreamId);
  }
  assert.equal(seen.size, 12);
  assert.ok([...seen].every(Number.isSafeInteger));
  await second.close();
  await other.close();
});

test("a client's stream may begin before the request that names it, and ids of both sides may be equal", async () => {
  const { stdoutStreamId } = await spawn("true");
  client.notify("$sandbox.stream.start", { streamId: stdoutStreamId });
  client.notify("$sandbox.stream.enqueue", {
    streamId: stdoutStreamId,
    data: Buffer.from("first ").toString("base64"),
  });
  const id = client.request("writeFile", { path: "/tmp/early", contentStreamId: stdoutStreamId });
  client.notify("$sandbox.stream.enqueue", {
    streamId: stdoutStreamId,
    data: Buffer.from("second").toString("base64"),
  });
  client.notify("$sandbox.stream.end", { streamId: stdoutStreamId });
  assert.deepEqual((await client.reply(id)).result, { ok: null });
  assert.equal(await client.ok("readTextFile", { path: "/tmp/early" }), "first second");
});

test("a whole stream may be there before it is named", async () => {
  client.notify("$sandbox.stream.start", { streamId: 501 });
  client.notify("$sandbox.stream.enqueue", { streamId: 501, data: Buffer.from("all").toString("base64") });
  client.notify("$sandbox.stream.end", { streamId: 501 });
  await client.ok("writeFile", { path: "/tmp/whole", contentStreamId: 501 });
  assert.equal(await client.ok("readTextFile", { path: "/tmp/whole" }), "all");
});

test("a failing source fails the write; its error may be a bare string", async () => {
  for (const [streamId, error] of [
    [601, "it broke"],
    [602, { constructorName: "Error", message: "it broke" }],
    [603, null],
  ] as const) {
    client.notify("$sandbox.stream.start", { streamId });
    const id = client.request("writeFile", { path: "/tmp/broken", contentStreamId: streamId });
    client.notify("$sandbox.stream.error", { streamId, error });
    assert.ok((await client.reply(id)).result?.error, `error ${JSON.stringify(error)}`);
  }
});

test("input that nobody reads any more is cancelled, and later data is ignored", async () => {
  client.notify("$sandbox.stream.start", { streamId: 701 });
  const { pid } = await spawn("exit 0", { stdinStreamId: 701 });
  await client.ok("processWait", { pid });
  for (let round = 0; round < 3; round++) {
    client.notify("$sandbox.stream.enqueue", { streamId: 701, data: Buffer.alloc(65_536).toString("base64") });
  }
  client.notify("$sandbox.stream.end", { streamId: 701 });
  assert.equal(await client.ok("envGet", { key: "HOME" }), "/home/app");
});

test("a walk is one entry a chunk, and its start comes apart from the reply", async () => {
  await client.ok("mkdir", { path: "/tmp/walked/a", options: { recursive: true } });
  await client.ok("writeTextFile", { path: "/tmp/walked/a/b", content: "" });
  const id = client.request("walk", { path: "/tmp/walked" });
  const reply = await client.reply(id);
  assert.ok(reply.result?.ok);
  const { streamId } = reply.result.ok as { streamId: number };
  await client.streamBytes(streamId);
  const replied = client.frames.findIndex((frame) => frame.json?.["id"] === id);
  const started = client.frames.findIndex(
    (frame) => frame.text.includes(`"streamId":${streamId}`) && frame.text.includes("stream.start"),
  );
  assert.ok(started > replied, "start came before the reply");
  assert.ok(
    (client.frames[started]?.at ?? 0) - (client.frames[replied]?.at ?? 0) >= 2,
    "start came together with the reply",
  );
  const entries = client
    .stream(streamId)
    .filter((event) => event.kind === "enqueue")
    .map((event) => JSON.parse(event.data.toString()) as object);
  assert.deepEqual(
    entries.map((entry) => (entry as { path: string }).path),
    ["/tmp/walked", "/tmp/walked/a", "/tmp/walked/a/b"],
  );
  assert.deepEqual(Object.keys(entries[0] ?? {}).toSorted(), ["isDirectory", "isFile", "isSymlink", "name", "path"]);
});

test("a walk starts only when the client is known to have its reply", async () => {
  // Read together with the reply, `start` makes the JavaScript client forget to tell us that it broke off, and it dies of the
  // `end` that follows. Only an answered ping shows that the reply was read; without one the server waits a second.
  const silent = await WireClient.open({ env, id: client.sandboxId, withoutPongs: true });
  const id = silent.request("walk", { path: "/tmp/walked" });
  const reply = await silent.reply(id);
  assert.ok(reply.result?.ok);
  const { streamId } = reply.result.ok as { streamId: number };
  await silent.streamBytes(streamId);
  const replied = silent.frames.find((frame) => frame.json?.["id"] === id);
  const waited = (silent.stream(streamId)[0]?.at ?? 0) - (replied?.at ?? 0);
  assert.ok(waited > 500, `started ${waited} ms after the reply`);
  await silent.close();
});

test("nothing comes for a walk after its cancel was read", async () => {
  const spawned = await spawn("mkdir -p /tmp/many && cd /tmp/many && seq 1 3000 | xargs touch");
  await client.ok("processWait", { pid: spawned.pid });
  for (let round = 0; round < 5; round++) {
    const { streamId } = (await client.ok("walk", { path: "/tmp/many" })) as { streamId: number };
    await until(10_000, "entries", () => client.stream(streamId).length > 5, 1);
    client.notify("$sandbox.stream.cancel", { streamId, reason: null });
    await client.ok("envGet", { key: "HOME" });
    const seen = client.stream(streamId).length;
    for (let call = 0; call < 3; call++) await client.ok("envGet", { key: "HOME" });
    assert.equal(client.stream(streamId).length, seen);
  }
});

test("walk takes its options nested as well, as the Python client sends them", async () => {
  const { streamId } = (await client.ok("walk", { path: "/tmp/walked", options: { maxDepth: 0 } })) as {
    streamId: number;
  };
  const text = (await client.streamBytes(streamId)).toString();
  assert.equal((JSON.parse(text) as { path: string }).path, "/tmp/walked");
});

test("statuses without a body have no body stream", async () => {
  const server = `
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(self.path[1:])); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 18080), Handler)
print("up", flush=True)
s.serve_forever()`;
  const { pid, stdoutStreamId } = (await client.ok("spawn", {
    command: "python3",
    args: ["-c", server],
    stdout: "piped",
    stderr: "null",
  })) as Spawned;
  client.request("processWait", { pid });
  await until(20_000, "the server", () => client.stream(stdoutStreamId).some((event) => event.kind === "enqueue"));
  for (const status of [204, 205, 304]) {
    const answer = (await client.ok("fetch", {
      url: `http://127.0.0.1:18080/${status}`,
      method: "GET",
      headers: [],
      redirect: "manual",
    })) as object;
    assert.deepEqual(Object.keys(answer).toSorted(), ["bodyStreamId", "headers", "status", "statusText"]);
    assert.equal((answer as { status: number }).status, status);
    assert.equal((answer as { bodyStreamId: unknown }).bodyStreamId, null, String(status));
  }
  await client.ok("processKill", { pid, signal: "SIGKILL" });
});

test("before the connection closes every call is answered and every stream ended", async () => {
  const doomed = await WireClient.open({ env, config: { memory_mb: 1280, timeout: "5m" } });
  const watcher = await WireClient.open({ env, id: doomed.sandboxId });
  const { pid, stdoutStreamId, stderrStreamId } = await spawn("echo begin; exec sleep 1000", {}, watcher);
  const wait = watcher.request("processWait", { pid });
  await until(10_000, "output", () => kinds(stdoutStreamId, watcher).includes("enqueue"));
  const answer = await fetch(`${env.DENO_SANDBOX_ENDPOINT}/api/v3/sandbox/${doomed.sandboxId}`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` },
  });
  assert.ok(answer.ok, String(answer.status));
  const { code } = await watcher.closed;
  assert.ok([1000, 1001].includes(code), String(code));
  assert.ok(
    watcher.frames.some((frame) => frame.json?.["id"] === wait),
    "the pending call was not answered",
  );
  for (const streamId of [stdoutStreamId, stderrStreamId]) {
    assert.ok(
      ["end", "error"].includes(kinds(streamId, watcher).at(-1) ?? ""),
      `stream ${streamId}: ${kinds(streamId, watcher).join()}`,
    );
  }
  assert.ok([1000, 1001].includes((await doomed.closed).code));
});

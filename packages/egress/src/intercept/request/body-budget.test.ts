/** Bodies that are read whole take a bounded room, however many there are and whatever values make of them. */
import assert from "node:assert/strict";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { makeSecret, startHarness, startHttps, type Harness, type Upstream } from "../../testing/harness.ts";
import { ask, openHttp2 } from "../../testing/talk.ts";

const long = makeSecret(["api.test"], { inBody: true, value: `sk-${"x".repeat(16_000)}` });
const { placeholder, value } = long;
let upstream: Upstream;
let harness: Harness;
let arrived: number[] = [];

before(async () => {
  upstream = await startHttps(["api.test"], (request, response) => {
    let bytes = 0;
    request.on("data", (chunk: Buffer) => (bytes += chunk.length));
    request.on("end", () => {
      arrived.push(bytes);
      response.end("done");
    });
    request.on("error", () => {});
  });
  harness = await startHarness({
    policy: { allow: ["api.test"] },
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
    secrets: [long],
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
});

function begin(session: ClientHttp2Session, length: number): ClientHttp2Stream {
  const stream = session.request({ ":method": "POST", ":path": "/", "content-length": length });
  stream.on("error", () => {});
  stream.resume().write("begun");
  return stream;
}

const status = (stream: ClientHttp2Stream): Promise<number> =>
  new Promise((resolve) => stream.once("response", (headers) => resolve(Number(headers[":status"]))));

test("the body that finds no room is refused before it is read, and goes when others have gone", async () => {
  const session = await openHttp2(harness.guest, "api.test");
  const held = Array.from({ length: 32 }, () => begin(session, 2 ** 20));
  const refused = begin(session, 2 ** 20);
  assert.equal(await status(refused), 503);
  await harness.refusal("too-many-requests");
  // A guest that goes on sending does not clog the session.
  refused.end("x".repeat(2 ** 20 - 5));
  await new Promise((resolve) => refused.once("close", resolve));
  for (const stream of held.splice(8)) stream.close();
  await harness.event((event) => event.rule !== "too-many-requests");
  const through = begin(session, 2 ** 20);
  through.end("x".repeat(2 ** 20 - 5));
  assert.equal(await status(through), 200);
  session.destroy();
});

test("a body full of placeholders takes no more room than any other", async () => {
  const resident = async (): Promise<number> =>
    Number(/VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${harness.guard.workerPids[0]}/status`, "utf8"))![1]) / 1024;
  const before = await resident();
  const body = placeholder.repeat(Math.floor(2 ** 20 / placeholder.length));
  arrived = [];
  await Promise.all(Array.from({ length: 2 }, () => ask(harness.guest, "api.test", { method: "POST", body })));
  const length = (body.length / placeholder.length) * value.length;
  assert.deepEqual(arrived, [length, length]);
  const most = await resident();
  assert.ok(most - before < 150, `${before} to ${most} MiB for ${Math.round((2 * length) / 2 ** 20)} MiB`);
});

test("a head may hold its values, and no thousand of them", async () => {
  const headers = (count: number) => ({ "x-keys": placeholder.repeat(count) });
  assert.equal((await ask(harness.guest, "api.test", { headers: headers(500) })).status, 403);
  await harness.refusal("secret-unfit");
  const path = `/?${placeholder.repeat(300)}`;
  assert.equal((await ask(harness.guest, "api.test", { path })).status, 403);
});

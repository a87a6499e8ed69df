/** What is carried unread: to its end in both directions, and for nobody who has left. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { makeSecret, startHarness, startTcp, type Harness, type Upstream } from "../testing/harness.ts";

const secret = makeSecret(["api.test"]);
const open: { close(): Promise<void> }[] = [];
after(async () => {
  for (const each of open.toReversed()) await each.close();
});

/** A server of one's own behaviour on port 7000 of api.test. */
async function serve(behave: (socket: Socket) => void): Promise<Harness> {
  const upstream: Upstream = await startTcp(
    createServer({ allowHalfOpen: true }, (socket) => behave(socket.on("error", () => {}))),
  );
  const harness = await startHarness({
    policy: { allow: ["api.test"] },
    secrets: [secret],
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
  });
  open.push(upstream, harness);
  return harness;
}

async function until(fits: () => boolean): Promise<void> {
  for (let tries = 0; tries < 200 && !fits(); tries++) await sleep(10);
  assert.ok(fits());
}

async function all(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("a guest that reads late gets all that a server said before it left", async () => {
  // A little more than the window of a stream: the end waits in the proxy.
  const size = 512 * 1024 + 10_000;
  const { guest } = await serve((socket) => socket.once("data", () => socket.end(Buffer.alloc(size, "x "))));
  const stream = await guest.connect("api.test:7000");
  stream.pause();
  stream.end("begin\n");
  await sleep(700);
  assert.equal((await all(stream)).length, size);
});

test("a guest that has said all hears the rest, also when it never said anything", async () => {
  const { guest } = await serve((socket) => {
    socket.write("hello\n");
    socket.resume().once("end", () => void sleep(300).then(() => socket.end("goodbye\n")));
  });
  const talkative = await guest.connect("api.test:7000");
  talkative.end("one\ntwo\n");
  assert.equal((await all(talkative)).toString(), "hello\ngoodbye\n");
  const quiet = await guest.connect("api.test:7000");
  quiet.end();
  assert.equal((await all(quiet)).toString(), "hello\ngoodbye\n");
  const listening = await guest.connect("api.test:7000");
  await once(listening, "data");
  listening.end();
  assert.equal((await all(listening)).toString(), "goodbye\n");
});

test("a guest that says a word without a line's end, and has said all, is heard", async () => {
  let heard = "";
  const { guest } = await serve((socket) => {
    socket.on("data", (chunk) => (heard += chunk.toString()));
    socket.once("end", () => socket.end("understood\n"));
  });
  const stream = await guest.connect("api.test:7000");
  stream.end("hello");
  assert.equal((await all(stream)).toString(), "understood\n");
  assert.equal(heard, "hello");
});

test("a request that only a lenient server would take is cut before its head ends", async () => {
  let heard = "";
  const harness = await serve((socket) => socket.on("data", (chunk) => (heard += chunk.toString())));
  for (const [first, then] of [
    ["(x) / HTTP/1.1\r\n", "Host: evil.test\r\n\r\n"],
    ["foo / bar\r\n", "Host: evil.test\r\n\r\n"],
  ] as const) {
    harness.events.length = 0;
    const stream = await harness.guest.connect("api.test:7000");
    const closed = new Promise((resolve) => stream.resume().once("close", resolve));
    stream.write(first);
    await sleep(50);
    if (stream.writable) stream.write(then);
    await closed;
    await harness.refusal("unclear-protocol");
  }
  assert.ok(!heard.includes("evil"), heard);
  const cut = await harness.guest.connect("api.test:7000");
  const over = new Promise((resolve) => cut.resume().once("close", resolve));
  cut.end("GET http://evil.test/ HTTP/1.1");
  await over;
  assert.ok(!heard.includes("evil"), heard);
});

test("a server that has said all hears the rest", async () => {
  let heard = "";
  const { guest } = await serve((socket) => {
    socket.once("data", () => socket.end("enough\n"));
    socket.on("data", (chunk) => (heard += chunk.toString()));
  });
  const stream = await guest.connect("api.test:7000");
  stream.write("one\n");
  assert.equal((await all(stream)).toString(), "enough\n");
  stream.end("two\n");
  await until(() => heard === "one\ntwo\n");
});

test("a value is unreadable also when the guest speaks in its middle, and a prompt does not wait", async () => {
  const half = secret.value.length / 2;
  const { guest } = await serve((socket) => {
    socket.write("name? ");
    socket.once("data", () => {
      socket.write(`[${secret.value.slice(0, half)}`);
      socket.once("data", () => socket.write(`${secret.value.slice(half)}]`));
    });
  });
  const stream = await guest.connect("api.test:7000");
  let text = "";
  stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await until(() => text === "name? ");
  stream.write("a\n");
  await until(() => text.length >= 6 + 1 + Math.floor(half));
  stream.write("b\n");
  await until(() => text.endsWith("]"));
  assert.equal(text.length, "name? []".length + secret.value.length);
  assert.ok(!text.includes(secret.value.slice(half)), text);
});

test("a value is unreadable also when the guest ends with a short word in its middle", async () => {
  const half = secret.value.length / 2;
  const { guest } = await serve((socket) => {
    socket.write(`[${secret.value.slice(0, half)}`);
    socket.resume().once("end", () => socket.end(`${secret.value.slice(half)}]`));
  });
  const stream = await guest.connect("api.test:7000");
  const [first] = (await once(stream, "data")) as [Buffer];
  stream.end("b");
  const text = `${first.toString()}${(await all(stream)).toString()}`;
  assert.equal(text.length, "[]".length + secret.value.length);
  assert.ok(!text.includes(secret.value.slice(half)), text);
});

test("nothing is dialled, or kept, for a guest that has left", async () => {
  const proxied: Socket[] = [];
  const proxy = await startTcp(createServer((socket) => void proxied.push(socket.on("error", () => {}))));
  const harness = await startHarness({
    upstreamProxy: `http://127.0.0.1:${proxy.port}`,
    resolve: { "slow.test": "127.0.0.1:9" },
  });
  open.push(proxy, harness);
  const session = await harness.guest.session();
  const stream = session.request({ ":method": "CONNECT", ":authority": "slow.test:7000" }).on("error", () => {});
  await until(() => proxied.length > 0);
  const closed = once(proxied[0]!, "close", { signal: AbortSignal.timeout(20_000) });
  proxied[0]!.resume();
  stream.close(8);
  await closed;
});

/** Answers coded in ways that hide what they say: read if they can be, else refused, in whatever header the coding is named. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createSecureServer, type ClientHttp2Session } from "node:http2";
import { createServer as createTls } from "node:tls";
import { after, before, test } from "node:test";
import { brotliCompressSync, gzipSync } from "node:zlib";
import {
  makeSecret,
  startHarness,
  startTcp,
  upstreamAuthority,
  type Harness,
  type Upstream,
} from "../testing/harness.ts";
import { ask, openHttp2, type Reply } from "../testing/talk.ts";

const secret = makeSecret(["one.test", "two.test"]);
const { value, placeholder } = secret;
const upstreams: Upstream[] = [];
let harness: Harness;
/** What the hosts answer. */
let headers: readonly (readonly [string, string])[] = [];
let body: Buffer = Buffer.alloc(0);
let asked = "";

before(async () => {
  const one = createTls({ ...(await upstreamAuthority.issue(["one.test"])), ALPNProtocols: ["http/1.1"] }, (socket) => {
    socket.on("error", () => {});
    socket.once("data", (chunk: Buffer) => {
      asked = chunk.toString("latin1");
      socket.write(`HTTP/1.1 200 OK\r\n${headers.map(([name, text]) => `${name}: ${text}\r\n`).join("")}\r\n`);
      socket.end(body);
    });
  });
  const two = createSecureServer({ ...(await upstreamAuthority.issue(["two.test"])), strictSingleValueFields: false });
  two.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.respond([":status", "200", ...headers.flat()]);
    stream.end(body);
  });
  upstreams.push(await startTcp(one), await startTcp(two));
  harness = await startHarness({
    policy: { allow: ["one.test", "two.test"] },
    secrets: [secret],
    resolve: { "one.test": `127.0.0.1:${upstreams[0]!.port}`, "two.test": `127.0.0.1:${upstreams[1]!.port}` },
  });
});
after(async () => {
  await harness.close();
  for (const upstream of upstreams) await upstream.close();
});

const get = async (more: readonly (readonly [string, string])[], bytes: Buffer): Promise<Reply> => {
  [headers, body] = [more, bytes];
  return await ask(harness.guest, "one.test");
};

async function overHttp2(session: ClientHttp2Session): Promise<{ status: number; text: string }> {
  const stream = session.request({ ":path": "/", ":authority": "two.test" });
  const [received] = (await once(stream, "response")) as [{ ":status": number }];
  return { status: received[":status"], text: (await stream.setEncoding("utf8").toArray()).join("") };
}

const coded = gzipSync(value);
const chunked = Buffer.concat([Buffer.from(`${coded.length.toString(16)}\r\n`), coded, Buffer.from("\r\n0\r\n\r\n")]);
const inLines = (name: string, ...values: string[]) => values.map((text): [string, string] => [name, text]);

const hidden: Record<string, [[string, string][], Buffer]> = {
  "a second line of Content-Encoding that nobody knows": [inLines("content-encoding", "identity", "compress"), coded],
  "a transfer coding below the chunks": [inLines("transfer-encoding", "gzip, chunked"), chunked],
  "a transfer coding in a line of its own": [inLines("transfer-encoding", "gzip", "chunked"), chunked],
  "a transfer coding above the chunks": [inLines("transfer-encoding", "chunked, gzip"), coded],
  "a transfer coding without chunks": [inLines("transfer-encoding", "gzip"), coded],
  "coded messages of Connect": [inLines("connect-content-encoding", "gzip"), coded],
  "coded messages of gRPC, in a second line": [inLines("grpc-encoding", "identity", "gzip"), coded],
  "an instance manipulation": [inLines("im", "gzip"), coded],
};
for (const [what, [lines, bytes]] of Object.entries(hidden)) {
  test(`${what} is refused`, async () => {
    const reply = await get(lines, bytes);
    assert.equal(reply.status, 502, reply.text);
    assert.equal(JSON.parse(reply.text).rule, "unreadable-response");
  });
}

test("codings in several lines are all taken off", async () => {
  for (const lines of [
    inLines("content-encoding", "gzip", "br"),
    inLines("content-encoding", "identity", "gzip, br"),
  ]) {
    const reply = await get(lines, brotliCompressSync(coded));
    assert.equal(reply.text, placeholder);
    assert.equal(reply.headers["content-encoding"], undefined);
  }
});

test("the same over HTTP/2, where a field that should stand once may stand twice", async () => {
  const session = await openHttp2(harness.guest, "two.test");
  [headers, body] = [inLines("content-encoding", "identity", "gzip"), coded];
  assert.deepEqual(await overHttp2(session), { status: 200, text: placeholder });
  [headers, body] = [inLines("content-encoding", "identity", "compress"), coded];
  assert.equal((await overHttp2(session)).status, 502);
  [headers, body] = [inLines("content-type", "text/plain", "text/html"), Buffer.from(value)];
  assert.deepEqual(await overHttp2(session), { status: 200, text: placeholder });
  session.destroy();
});

test("plain chunks are chunks in any case", async () => {
  const text = `${value.length.toString(16)}\r\n${value}\r\n0\r\n\r\n`;
  assert.equal((await get(inLines("transfer-encoding", "Chunked"), Buffer.from(text))).text, placeholder);
});

test("no request asks for parts, codings or differences", async () => {
  const asking = {
    range: "bytes=0-4",
    "x-ms-range": "bytes=0-4",
    "request-range": "bytes=0-4",
    "grpc-accept-encoding": "gzip",
    "connect-accept-encoding": "gzip",
    "a-im": "gzip",
    "x-kept": "1",
  };
  [headers, body] = [inLines("content-length", "2"), Buffer.from("ok")];
  assert.equal((await ask(harness.guest, "one.test", { headers: asking })).text, "ok");
  const names = new Set(asked.split("\r\n").map((line) => line.split(":")[0]!.toLowerCase()));
  assert.deepEqual(
    Object.keys(asking).filter((name) => names.has(name)),
    ["x-kept"],
  );
});

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
} from "../../testing/harness.ts";
import { ask, openHttp2, type Reply } from "../../testing/talk.ts";

const secret = makeSecret(["one.test", "two.test"]);
const { value, placeholder } = secret;
const upstreams: Upstream[] = [];
let harness: Harness;
/** What the hosts answer; the status is that of the one that speaks HTTP/1.1. */
let status = 200;
let headers: readonly (readonly [string, string])[] = [];
let body: Buffer = Buffer.alloc(0);
let asked = "";

before(async () => {
  const one = createTls({ ...(await upstreamAuthority.issue(["one.test"])), ALPNProtocols: ["http/1.1"] }, (socket) => {
    socket.on("error", () => {});
    socket.once("data", (chunk: Buffer) => {
      asked = chunk.toString("latin1");
      socket.write(`HTTP/1.1 ${status} OK\r\n${headers.map(([name, text]) => `${name}: ${text}\r\n`).join("")}\r\n`);
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

const get = async (more: readonly (readonly [string, string])[], bytes: Buffer, code = 200): Promise<Reply> => {
  [headers, body, status] = [more, bytes, code];
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

const ranges = (text: string) => inLines("content-range", text);
const parts: Record<string, [number, [string, string][]]> = {
  "206 with bytes of an answer": [206, ranges("bytes 0-4/40")],
  "206 that does not say of what": [206, []],
  "206 of several parts": [206, inLines("content-type", "multipart/byteranges; boundary=x")],
  "bytes of an answer under another status": [200, ranges("Bytes 0-4/40")],
  "several parts under another status": [200, inLines("content-type", "Multipart/X-Byteranges; boundary=x")],
};
for (const [what, [code, lines]] of Object.entries(parts)) {
  test(`${what}, unasked, is refused`, async () => {
    const reply = await get([...lines, ["content-length", "5"]], Buffer.from(value.slice(0, 5)), code);
    assert.equal(reply.status, 502, reply.text);
    assert.equal(JSON.parse(reply.text).rule, "unreadable-response");
  });
}

test("a page of a list, and a range that does not exist, are no parts", async () => {
  for (const [code, range] of [
    [206, "0-9/90"],
    [206, "items 0-9/90"],
    [200, "0-9/*"],
    [416, "bytes */40"],
  ] as const) {
    const reply = await get([...ranges(range), ["content-length", String(value.length)]], Buffer.from(value), code);
    assert.deepEqual([reply.status, reply.text, reply.headers["content-range"]], [code, placeholder, range]);
  }
});

const charsets = (text: string) => [...inLines("content-type", text), ["content-length", "5"] as const];
for (const charset of [
  "UTF-7",
  "utf7",
  "csUTF7",
  "utf-32",
  '"UTF-32BE"',
  "UTF_32",
  "iso-10646-ucs-4",
  "cp037",
  "IBM500",
]) {
  test(`an answer in ${charset} is refused`, async () => {
    const reply = await get(charsets(`text/html; charset=${charset}`), Buffer.from("+AHM-"));
    assert.equal(reply.status, 502, reply.text);
    assert.equal(JSON.parse(reply.text).rule, "unreadable-response");
  });
}
for (const type of [
  "text/plain; Charset = ebcdic-cp-us",
  "text/plain; x=y;charset=IBM01140",
  "a/b; charset='x-ibm1047'",
]) {
  test(`an answer of the type ${type} is refused`, async () =>
    assert.equal((await get(charsets(type), Buffer.from("hello"))).status, 502));
}

test("character sets that hold ASCII as it is, UTF-16, and what is none at all, go on", async () => {
  const usual = ["utf-8", "UTF8", "utf8mb4", "us-ascii", "ISO-8859-1", "windows-1252", "cp1252", "ibm866", "IBM00858"];
  for (const charset of [...usual, "cp65001", "Shift_JIS", "gb18030", "EUC-KR", "koi8-r", "utf-16le", "none", ""]) {
    const reply = await get(charsets(`text/plain; charset=${charset}`), Buffer.from("hello"));
    assert.deepEqual([reply.status, reply.text], [200, "hello"], charset);
  }
});

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

test("no request asks for parts, codings, character sets or differences", async () => {
  const asking = {
    range: "bytes=0-4",
    "x-ms-range": "bytes=0-4",
    "request-range": "bytes=0-4",
    "grpc-accept-encoding": "gzip",
    "connect-accept-encoding": "gzip",
    "a-im": "gzip",
    "accept-charset": "utf-7",
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

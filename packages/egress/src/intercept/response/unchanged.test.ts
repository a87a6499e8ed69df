/** Hosts that no secret is for: their answers arrive byte for byte, and a value in one of them ends the exchange. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { after, before, test } from "node:test";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { WebSocket, WebSocketServer } from "ws";
import {
  makeSecret,
  startHarness,
  startHttp2,
  startHttps,
  type Harness,
  type Upstream,
} from "../../testing/harness.ts";
import { ask, openHttp2, raw, type Ask, type Reply } from "../../testing/talk.ts";

const secret = makeSecret(["api.test"]);
const { value, placeholder } = secret;
const file = randomBytes(200_000);
const archive = gzipSync(randomBytes(90_000));
const sha = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const plain = Buffer.from("plain text, however it is called");
let asked: IncomingMessage["headers"] = {};
let files: Upstream;
let overHttp2: Upstream;
let harness: Harness;

type Route = (response: ServerResponse, range: readonly [number, number] | undefined) => unknown;
const describe = {
  etag: '"v1"',
  "last-modified": "Mon, 30 Nov 2026 00:00:00 GMT",
  "accept-ranges": "bytes",
  "content-md5": "1B2M2Y8AsgTpgAmY7PhCfg==",
  digest: "sha-256=x",
  "repr-digest": "sha-256=:x:",
} as const;
const coded =
  (encoding: string, body: Buffer): Route =>
  (response) =>
    response.writeHead(200, { "content-encoding": encoding, "content-length": body.length }).end(body);
const routes: Record<string, Route> = {
  "/file": (response, range) => {
    if (range === undefined) return response.writeHead(200, { ...describe, "content-length": file.length }).end(file);
    const part = file.subarray(range[0], range[1] + 1);
    const where = `bytes ${range[0]}-${range[1]}/${file.length}`;
    return response.writeHead(206, { ...describe, "content-range": where, "content-length": part.length }).end(part);
  },
  "/archive.tar.gz": coded("gzip", archive),
  "/layers": coded("gzip, br", brotliCompressSync(archive)),
  "/aws": coded("aws-chunked", plain),
  "/utf": coded("UTF-8", plain),
  "/compress": coded("compress", plain),
  "/not-gzip": coded("gzip", plain),
  "/cut-gzip": coded("gzip", archive.subarray(0, 1000)),
  "/charset": (response) =>
    response.writeHead(200, { "content-type": "text/html; charset=utf-7", "content-length": plain.length }).end(plain),
  "/parts": (response) =>
    response.writeHead(206, { "content-type": "multipart/byteranges; boundary=x", "content-length": 5 }).end("--x--"),
  "/trailers": (response) => {
    response.writeHead(200, { trailer: "content-digest" });
    response.write(plain);
    response.addTrailers({ "content-digest": "sha-256=:x:" });
    response.end();
  },
  "/none": (response) => response.writeHead(304, { etag: '"v1"', "content-length": "200000" }).end(),
  "/value": (response) => response.end(`<${value}>`),
  "/value-length": (response) => response.end(`${"a b ".repeat(30_000)}${value} and more`),
  "/value-bytes": (response) => {
    for (const byte of Buffer.from(value)) response.write(Buffer.from([byte]));
    response.end();
  },
  "/value-gzip": coded("gzip", gzipSync(`${"words ".repeat(20_000)} ${value} more`)),
  "/value-br": coded("br", brotliCompressSync(value)),
  "/value-base64": (response) => response.end(Buffer.from(`user:${value}`).toString("base64")),
  "/value-header": (response) => response.writeHead(200, { location: `/x?${encodeURIComponent(value)}` }).end(),
  "/value-name": (response) => response.writeHead(200, { [`x-${value}`]: "1" }).end(),
  "/value-end": (response) => response.end(value),
};

function answer(request: IncomingMessage, response: ServerResponse): void {
  asked = request.headers;
  request.resume();
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
  const range = first === undefined ? undefined : ([Number(first), last ? Number(last) : file.length - 1] as const);
  const route = routes[request.url!.split("?")[0]!];
  if (route === undefined) response.writeHead(404).end();
  else route(response, range);
}

before(async () => {
  const https = await startHttps(["files.test", "api.test"], answer);
  const sockets = new WebSocketServer({ server: https.server, perMessageDeflate: false });
  sockets.on("connection", (socket) => {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
    socket.send(value.slice(0, 10), { fin: false });
    socket.send(value.slice(10), { fin: true });
  });
  files = https;
  overHttp2 = await startHttp2(["two.test"], (server) =>
    server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      const part = headers.range === "bytes=0-99";
      stream.respond(
        part
          ? { ":status": 206, "content-range": "bytes 0-99/200000", "content-length": 100 }
          : { ":status": 200, "content-length": file.length, "content-encoding": "x-unknown" },
        { endStream: headers[":method"] === "HEAD" },
      );
      if (headers[":method"] !== "HEAD") stream.end(part ? file.subarray(0, 100) : file);
    }),
  );
  const to = `127.0.0.1:${files.port}`;
  harness = await startHarness({
    policy: { allow: ["files.test", "api.test", "two.test"] },
    secrets: [secret],
    resolve: { "files.test": to, "api.test": to, "two.test": `127.0.0.1:${overHttp2.port}` },
  });
});
after(async () => {
  await harness.close();
  await files.close();
  await overHttp2.close();
});

const get = (path: string, more: Ask = {}): Promise<Reply> => ask(harness.guest, "files.test", { path, ...more });
const described = (reply: Reply) =>
  Object.fromEntries(Object.keys(describe).map((name) => [name, reply.headers[name]]));

test("HEAD and GET have the length, the validators and the digests of the host", async () => {
  const head = await get("/file", { method: "HEAD" });
  assert.deepEqual([head.status, head.headers["content-length"]], [200, "200000"]);
  assert.deepEqual(described(head), describe);
  const whole = await get("/file");
  assert.equal(whole.headers["content-length"], "200000");
  assert.equal(whole.headers["transfer-encoding"], undefined);
  assert.equal(sha(whole.body), sha(file));
  assert.deepEqual(described(whole), describe);
  const same = await get("/none", { headers: { "if-none-match": '"v1"' } });
  assert.deepEqual([same.status, same.headers["content-length"]], [304, "200000"]);
  assert.equal(asked["if-none-match"], '"v1"');
});

test("ranges are asked for and arrive, also where a download goes on", async () => {
  const part = await get("/file", { headers: { range: "bytes=0-99", "if-range": '"v1"' } });
  assert.deepEqual([part.status, part.headers["content-length"]], [206, "100"]);
  assert.equal(part.headers["content-range"], "bytes 0-99/200000");
  assert.ok(part.body.equals(file.subarray(0, 100)));
  assert.equal(asked["if-range"], '"v1"');
  const rest = await get("/file", { headers: { range: "bytes=150000-" } });
  assert.ok(rest.status === 206 && rest.body.equals(file.subarray(150_000)));
  assert.equal((await get("/parts", { headers: { range: "bytes=0-1,5-6" } })).status, 206);
});

test("headers that a signature may cover reach the host as the program wrote them", async () => {
  const signed = {
    range: "bytes=0-9",
    "accept-encoding": "gzip, br",
    "x-ms-range": "bytes=0-9",
    "want-repr-digest": "sha-256=1",
    "accept-charset": "utf-8",
    "a-im": "feed",
  };
  await get("/file", { headers: signed });
  assert.deepEqual(Object.fromEntries(Object.keys(signed).map((name) => [name, asked[name]])), signed);
  await get("/file");
  assert.equal(asked["accept-encoding"], undefined);
});

for (const [path, encoding, body] of [
  ["/archive.tar.gz", "gzip", archive],
  ["/layers", "gzip, br", brotliCompressSync(archive)],
  ["/aws", "aws-chunked", plain],
  ["/utf", "UTF-8", plain],
  ["/compress", "compress", plain],
  ["/not-gzip", "gzip", plain],
  ["/cut-gzip", "gzip", archive.subarray(0, 1000)],
  ["/charset", undefined, plain],
] as const) {
  test(`${path} arrives as it is stored`, async () => {
    const reply = await get(path);
    assert.equal(reply.status, 200, reply.text);
    assert.deepEqual(
      [reply.headers["content-encoding"], Number(reply.headers["content-length"]), sha(reply.body)],
      [encoding, body.length, sha(body)],
    );
  });
}

test("trailers arrive", async () => {
  assert.deepEqual({ ...(await get("/trailers")).trailers }, { "content-digest": "sha-256=:x:" });
});

test("the same over HTTP/2", async () => {
  const session = await openHttp2(harness.guest, "two.test");
  const over = async (method: string, more = {}) => {
    const stream = session.request({ ":path": "/", ":authority": "two.test", ":method": method, ...more });
    const received = await new Promise<Record<string, unknown>>((resolve, reject) =>
      stream.once("response", resolve).once("error", reject),
    );
    return { headers: received, body: Buffer.concat(await stream.toArray()) };
  };
  const head = await over("HEAD");
  assert.deepEqual([head.headers["content-length"], head.headers["content-encoding"]], ["200000", "x-unknown"]);
  const whole = await over("GET");
  assert.ok(whole.body.equals(file));
  const part = await over("GET", { range: "bytes=0-99" });
  assert.equal(part.headers[":status"], 206);
  assert.ok(part.body.equals(file.subarray(0, 100)));
  session.destroy();
});

for (const path of Object.keys(routes).filter((name) => name.startsWith("/value"))) {
  test(`a value in ${path} does not arrive, and the audit says why`, async () => {
    const before = harness.events.length;
    const socket = await harness.guest.connectTls("files.test:443");
    const text = await raw(
      socket,
      `GET ${path} HTTP/1.1\r\nHost: files.test\r\nAccept-Encoding: gzip, br\r\nConnection: close\r\n\r\n`,
      2500,
    );
    assert.ok(!text.includes(value) && !text.includes(value.slice(0, -1)), text.slice(-300));
    assert.ok(!text.includes(Buffer.from(`user:${value}`).toString("base64").slice(4, -4)), text);
    const event = await harness.event(
      (one) => harness.events.indexOf(one) >= before && one.kind === "request" && one.path === path,
    );
    assert.deepEqual([event.verdict, event.rule], ["refused", "secret-returned"]);
  });
}

test("the approved host's own answers still hold the placeholder", async () => {
  const reply = await ask(harness.guest, "api.test", { path: "/value" });
  assert.deepEqual([reply.status, reply.text], [200, `<${placeholder}>`]);
  const head = await ask(harness.guest, "api.test", { path: "/file", method: "HEAD" });
  assert.deepEqual([head.headers["content-length"], head.headers["accept-ranges"]], ["200000", undefined]);
  const long = await ask(harness.guest, "api.test", { path: "/value-length" });
  assert.ok(!long.text.includes(value) && long.text.includes(placeholder.slice(0, value.length)));
  const whole = await ask(harness.guest, "api.test", { path: "/file", headers: { range: "bytes=0-9" } });
  assert.deepEqual([whole.status, whole.headers["content-length"], sha(whole.body)], [200, "200000", sha(file)]);
  assert.equal((await ask(harness.guest, "api.test", { path: "/aws" })).text, plain.toString());
});

test("a value in messages of a WebSocket ends it", async () => {
  const socket = await harness.guest.connectTls("files.test:443");
  const web = new WebSocket("wss://files.test/", { createConnection: () => socket });
  web.on("error", () => {});
  const arrived: string[] = [];
  web.on("message", (data) => void arrived.push((data as Buffer).toString()));
  const [code] = await new Promise<[number]>((resolve) => web.once("close", (...why) => resolve([why[0]])));
  assert.deepEqual([code, arrived], [1008, []]);
  await harness.event((event) => event.protocol === "websocket" && event.rule === "secret-returned");
});

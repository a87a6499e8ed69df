import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { request, type IncomingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import type { TreeEntry } from "@caisson/protocol";
import { siteConnections } from "./answer.ts";
import { Site } from "./site.ts";

const large = "x".repeat(5000);
const contents: Record<string, string> = {
  "dist/index.html": "home",
  "dist/about.html": "about",
  "dist/sub/index.html": "sub",
  "dist/app.js": large,
  "dist/data.bin": "0123456789",
  "dist/404.html": "nothing",
  "secret.txt": "secret",
};
const digest = (text: string) => createHash("sha256").update(text).digest("hex");
const tree: TreeEntry[] = [
  { kind: "directory", path: "dist" },
  { kind: "directory", path: "dist/sub" },
  ...Object.entries(contents).map(([path, text]) => ({
    kind: "file" as const,
    path,
    digest: digest(text),
    bytes: text.length,
    executable: false,
  })),
  { kind: "symlink", path: "dist/link", target: "sub/../about.html" },
  { kind: "symlink", path: "dist/out", target: "../../../etc/passwd" },
  { kind: "symlink", path: "dist/loop", target: "loop" },
  { kind: "symlink", path: "dist/dir", target: "./sub" },
];
const files = {
  read: async (wanted: string, range = { first: 0, last: Infinity }) => {
    const text = Object.values(contents).find((content) => digest(content) === wanted)!;
    return Readable.from([Buffer.from(text.slice(range.first, range.last + 1))]);
  },
};

async function get(path: string, headers: IncomingHttpHeaders = {}, { spa = false, method = "GET" } = {}) {
  const connect = siteConnections(new Site(tree, "dist", spa), files);
  return new Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }>((resolve, reject) => {
    const sent = request({ path, method, headers, createConnection: connect }, (response) => {
      buffer(response).then(
        (body) => resolve({ status: response.statusCode!, headers: response.headers, body }),
        reject,
      );
    });
    sent.on("error", reject).end();
  });
}
const short = async (...args: Parameters<typeof get>) => {
  const { status, body, headers } = await get(...args);
  return [status, headers.location ?? body.toString()];
};

test("paths lead to files, and to nothing outside of the site", async () => {
  assert.deepEqual(await short("/"), [200, "home"]);
  assert.deepEqual(await short("/about?x=1"), [200, "about"]);
  assert.deepEqual(await short("/link"), [200, "about"]);
  assert.deepEqual(await short("/sub?x=1"), [308, "/sub/?x=1"]);
  assert.deepEqual(await short("//sub"), [308, "/sub/"]);
  assert.deepEqual(await short("/sub/"), [200, "sub"]);
  assert.deepEqual(await short("/dir/"), [200, "sub"]);
  for (const path of ["/none", "/../secret.txt", "/%2e%2e/secret.txt", "/out", "/loop", "/%zz", "/%00", "/app.js/"])
    assert.deepEqual(await short(path), [404, "nothing"], path);
  assert.deepEqual(await short("/some/route", {}, { spa: true }), [200, "home"]);
  assert.equal((await get("/", {}, { method: "POST" })).status, 405);
  assert.deepEqual(await short("/", {}, { method: "HEAD" }), [200, ""]);
});

test("what a client has already is not sent again", async () => {
  const { headers } = await get("/about", {});
  assert.equal((await get("/about", { "if-none-match": `W/${headers.etag}, "x"` })).status, 304);
  assert.equal((await get("/about", { "if-none-match": '"x"' })).status, 200);
});

test("text is compressed as the client accepts it", async () => {
  const gzip = await get("/app.js", { "accept-encoding": "gzip, br;q=0" });
  assert.deepEqual([gzip.headers["content-encoding"], gunzipSync(gzip.body).toString()], ["gzip", large]);
  const br = await get("/app.js", { "accept-encoding": "gzip, br" });
  assert.deepEqual([br.headers["content-encoding"], brotliDecompressSync(br.body).toString()], ["br", large]);
  assert.notEqual(br.headers.etag, gzip.headers.etag);
  const plain = await get("/app.js");
  assert.deepEqual([plain.headers["content-encoding"], plain.headers["content-length"]], [undefined, "5000"]);
  assert.match(plain.headers["content-type"]!, /javascript/);
  assert.equal((await get("/data.bin", { "accept-encoding": "br" })).headers["content-encoding"], undefined);
});

test("a visitor who disconnects leaves no file open", async () => {
  const endless = new Readable({ read: () => void endless.push(Buffer.alloc(65_536)) });
  const connect = siteConnections(new Site(tree, "dist", false), { read: async () => endless });
  const stream = connect();
  stream.write("GET /data.bin HTTP/1.1\r\nhost: a\r\n\r\n");
  await once(stream, "readable");
  stream.destroy();
  // It ends with an error as well: it was not read to its end.
  await finished(endless, { signal: AbortSignal.timeout(60_000) }).catch(() => undefined);
  assert.equal(endless.destroyed, true);
});

test("ranges", async () => {
  const range = async (value: string, also: IncomingHttpHeaders = {}) => {
    const { status, headers, body } = await get("/data.bin", { range: value, ...also });
    return [status, headers["content-range"], body.toString()];
  };
  assert.deepEqual(await range("bytes=2-4"), [206, "bytes 2-4/10", "234"]);
  assert.deepEqual(await range("bytes=8-"), [206, "bytes 8-9/10", "89"]);
  assert.deepEqual(await range("bytes=-3"), [206, "bytes 7-9/10", "789"]);
  assert.deepEqual(await range("bytes=5-900"), [206, "bytes 5-9/10", "56789"]);
  assert.deepEqual(await range("bytes=10-"), [416, "bytes */10", ""]);
  assert.deepEqual(await range("bytes=-0"), [416, "bytes */10", ""]);
  for (const whole of ["bytes=4-2", "bytes=0-1,3-4", "lines=1-2", "bytes=-"])
    assert.deepEqual(await range(whole), [200, undefined, "0123456789"], whole);
  assert.equal((await range("bytes=2-4", { "if-range": '"other"' }))[0], 200);
});

/** Answers that go on unchanged are bounded all the same: by a guest that does not read, by what they grow to, and by what Node can write. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createGzip, gzipSync, zstdCompressSync } from "node:zlib";
import { createRedactor } from "../../redact/redactor.ts";
import { makeSecret, startHarness, startHttps, type Harness, type Upstream } from "../../testing/harness.ts";
import { ask, openHttp2 } from "../../testing/talk.ts";
import type { UpstreamCall } from "../../upstream/request.ts";
import { UnchangedRelay } from "./unchanged-relay.ts";

const secret = makeSecret(["api.test"]);
const member = gzipSync(randomBytes(1024 * 1024), { level: 1 });
const members = 96;
const zeros = (): Buffer => Buffer.alloc(80 * 1024 * 1024);
/** Bytes of the members that the proxy has taken. */
const taken = { bytes: 0 };
let files: Upstream;
let harness: Harness;

async function sendMembers(response: ServerResponse): Promise<void> {
  taken.bytes = 0;
  response.writeHead(200, { "content-encoding": "gzip" });
  for (let count = 0; count < members && !response.destroyed; count++)
    await new Promise<void>((resolve) => {
      response.once("close", resolve);
      response.write(member, () => {
        taken.bytes += member.length;
        response.off("close", resolve);
        resolve();
      });
    });
  response.end();
}

const whole = (response: ServerResponse, encoding: string, body: Buffer): unknown =>
  response.writeHead(200, { "content-encoding": encoding, "content-length": body.length }).end(body);
const routes: Record<string, (response: ServerResponse) => unknown> = {
  "/members": sendMembers,
  "/gzip-zeros": (response) => whole(response, "gzip", gzipSync(zeros())),
  "/zstd-zeros": (response) => whole(response, "zstd", zstdCompressSync(zeros())),
  "/600-gzip": (response) =>
    response.writeHead(600, { "content-encoding": "gzip", "content-length": member.length }).end(member),
  "/600-pause": (response) => response.writeHead(600, { "content-length": 1000 }).write("word"),
};

before(async () => {
  files = await startHttps(["files.test"], (request, response) => {
    request.resume();
    response.on("error", () => {});
    void routes[request.url!]!(response);
  });
  harness = await startHarness({
    policy: { allow: ["files.test", "api.test"] },
    secrets: [secret],
    resolve: { "files.test": `127.0.0.1:${files.port}` },
  });
});
after(async () => {
  await harness.close();
  await files.close();
});

test(
  "a compressed answer waits for a guest that does not read, and goes on when it does",
  { timeout: 60_000 },
  async () => {
    const socket = await harness.guest.connectTls("files.test:443");
    socket.pause();
    socket.write("GET /members HTTP/1.1\r\nHost: files.test\r\nConnection: close\r\n\r\n");
    let before: number;
    do {
      before = taken.bytes;
      await sleep(1000);
    } while (taken.bytes === 0 || taken.bytes !== before);
    assert.ok(taken.bytes < (members / 2) * member.length, `${taken.bytes} bytes are held`);
    let received = 0;
    for await (const chunk of socket) received += (chunk as Buffer).length;
    assert.ok(received > members * member.length, String(received));
  },
);

test("the longest that gzip can make of its bytes arrives, and what grows more is refused", async () => {
  const sha = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
  const reply = await ask(harness.guest, "files.test", { path: "/gzip-zeros" });
  assert.deepEqual([reply.status, sha(reply.body)], [200, sha(gzipSync(zeros()))]);
  const refused = await ask(harness.guest, "files.test", { path: "/zstd-zeros" });
  assert.deepEqual([refused.status, JSON.parse(refused.text).rule], [502, "unreadable-response"]);
});

for (const path of ["/600-gzip", "/600-pause"]) {
  test(
    `a status that HTTP/2 does not have fails its exchange and nothing else: ${path}`,
    { timeout: 30_000 },
    async () => {
      const session = await openHttp2(harness.guest, "files.test");
      const stream = session.request({ ":path": path, ":authority": "files.test" });
      const status = await new Promise<unknown>((resolve, reject) =>
        stream
          .once("response", (headers) => resolve(headers[":status"]))
          .once("error", reject)
          .once("close", () => reject(new Error("closed without an answer"))),
      );
      assert.equal(status, 502);
      const event = await harness.event((one) => one.kind === "request" && one.path === path);
      assert.deepEqual([event.verdict, event.rule], ["failed", "upstream-protocol"]);
      session.destroy();
    },
  );
}

test("a guest that stops reading does not choose where a value inside compression is cut", async () => {
  const gzip = createGzip();
  const compressed = async (text: string): Promise<Buffer> => {
    gzip.write(text);
    await new Promise<void>((resolve) => gzip.flush(resolve));
    return gzip.read() as Buffer;
  };
  const first = await compressed(`${randomBytes(3000).toString("hex")} `);
  const second = await compressed(secret.value.slice(0, -1));
  const written: Buffer[] = [];
  let reads = (): void => {};
  const relay = new UnchangedRelay(
    "GET",
    createRedactor([secret]),
    {
      started: false,
      head: () => {},
      write: (chunk) => written.push(chunk) < 0,
      end: () => {},
      abort: () => {},
      onDrain: (listener) => (reads = listener),
      onGone: () => {},
    },
    () => {},
  );
  const ignore = (): void => {};
  relay.call = { pause: ignore, resume: ignore, abort: ignore } satisfies UpstreamCall;
  relay.head(200, [["content-encoding", "gzip"]], false);
  relay.data(first);
  relay.data(second);
  const arrived = (): number => written.reduce((sum, { length }) => sum + length, 0);
  for (let waits = 0; written.length === 0 && waits < 500; waits++) await sleep(10);
  assert.ok(written.length > 0);
  const before = arrived();
  await sleep(200);
  assert.equal(arrived(), before);
  // Every piece blocks it again.
  for (let waits = 0; arrived() < first.length + second.length && waits < 500; waits++) {
    reads();
    await sleep(10);
  }
  assert.ok(Buffer.concat(written).equals(Buffer.concat([first, second])));
  relay.fail(new Error("the end"));
  gzip.destroy();
});

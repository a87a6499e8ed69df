/** An upstream that breaks HTTP: the exchange fails, the worker goes on, and no key comes through the cracks. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingHttpHeaders } from "node:http2";
import { createServer as createTls } from "node:tls";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  makeSecret,
  startHarness,
  startHttp2,
  startTcp,
  upstreamAuthority,
  type Harness,
  type Upstream,
} from "../../testing/harness.ts";
import { openHttp2, raw } from "../../testing/talk.ts";

const secret = makeSecret(["raw.test", "h2.test"]);
const { value } = secret;
let answer: Buffer = Buffer.alloc(0);
let upstream: Upstream;
let http2: Upstream;
let harness: Harness;

before(async () => {
  upstream = await startTcp(
    createTls({ ...(await upstreamAuthority.issue(["raw.test"])), ALPNProtocols: ["http/1.1"] }, (socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end(answer));
    }),
  );
  http2 = await startHttp2(["h2.test"], (server) => {
    server.on("sessionError", () => {});
    server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      switch (headers[":path"]) {
        case "/reset":
          return stream.close(2);
        case "/half":
          stream.respond({ ":status": 200, "content-length": "100" });
          stream.write(value.slice(0, 10));
          return stream.close(2);
        case "/goaway":
          return stream.session!.destroy();
        case "/odd":
          return stream.respond(
            { ":status": 299, "x-odd": "\u00ff\u00fe", "x-key": value, te: "trailers" },
            { endStream: true },
          );
        default:
          stream.respond({ ":status": 200 });
          stream.end("fine");
      }
    });
  });
  harness = await startHarness({
    policy: { allow: ["raw.test", "h2.test"] },
    secrets: [secret],
    resolve: { "raw.test": `127.0.0.1:${upstream.port}`, "h2.test": `127.0.0.1:${http2.port}` },
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
  await http2.close();
});

async function ask(bytes: string | Buffer): Promise<string> {
  answer = Buffer.from(bytes as string, "latin1");
  const socket = await harness.guest.connectTls("raw.test:443");
  return await raw(socket, "GET / HTTP/1.1\r\nHost: raw.test\r\nConnection: close\r\n\r\n", 1000);
}

const answers: Record<string, string> = {
  nothing: "",
  garbage: randomBytes(500).toString("latin1"),
  "a status line alone": "HTTP/1.1 200 OK\r\n",
  "a status below 100": "HTTP/1.1 099 Odd\r\n\r\n",
  "a status of four digits": "HTTP/1.1 2000 Odd\r\n\r\n",
  "an unasked switch of protocols": `HTTP/1.1 101 Switching\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\n${value}`,
  "both lengths": `HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n${value}`,
  "two lengths": `HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 50\r\n\r\n${value}`,
  "a body shorter than it says": `HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n${value}`,
  "a long body shorter than it says": `HTTP/1.1 200 OK\r\ncontent-length: 500000\r\n\r\n${value}`,
  "a chunk size that is none": `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n${value}`,
  "chunks that break off": `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${value.length.toString(16)}\r\n${value}\r\n`,
  "control characters in a header": `HTTP/1.1 200 OK\r\nx-a: \x01\x02${value}\r\ncontent-length: 0\r\n\r\n`,
  "bytes beyond ASCII in headers": `HTTP/1.1 200 OK\r\nx-a: \xff\xfe${value}\r\ncontent-length: 0\r\n\r\n`,
  "headers without end": `HTTP/1.1 200 OK\r\n${"x-a: b\r\n".repeat(20_000)}`,
  "a name that is none": `HTTP/1.1 200 OK\r\nx a: ${value}\r\n\r\n`,
  "gzip that is none": `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nabcde`,
  "gzip of nothing": "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n",
  "many codings": `HTTP/1.1 200 OK\r\ncontent-encoding: ${"gzip, ".repeat(50)}gzip\r\ncontent-length: 1\r\n\r\na`,
  "many early answers": `${"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n".repeat(1000)}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok`,
  "an answer and another": `HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: ${value.length}\r\n\r\n${value}`,
  "HTTP/0.9": value,
  "trailers of every kind": `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 5\r\nhost: x\r\nx-key: ${value}\r\n\r\n`,
};
for (const [what, bytes] of Object.entries(answers)) {
  test(`an upstream that answers with ${what} harms nobody`, async () => {
    const pids = harness.guard.workerPids;
    const text = await ask(bytes);
    assert.ok(!text.includes(value), text.slice(0, 500));
    assert.equal((await ask("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine")).slice(-4), "fine");
    assert.deepEqual(harness.guard.workerPids, pids);
  });
}

test("the same over HTTP/2", async () => {
  const pids = harness.guard.workerPids;
  const session = await openHttp2(harness.guest, "h2.test");
  const get = (path: string): Promise<string> =>
    new Promise((resolve) => {
      const stream = session.request({ ":path": path, ":authority": "h2.test" });
      let text = "";
      stream.on("response", (headers) => (text += JSON.stringify(headers)));
      stream.on("data", (chunk) => (text += chunk));
      stream.on("error", () => {});
      stream.on("close", () => resolve(text));
    });
  for (const path of ["/reset", "/half", "/odd", "/goaway", "/fine", "/goaway", "/fine"]) {
    const text = await get(path);
    assert.ok(!text.includes(value), text);
    if (path === "/fine") assert.ok(text.includes("fine") && text.includes('":status":200'), text);
    if (path === "/reset") assert.ok(text.includes('":status":502'), text);
  }
  session.destroy();
  assert.deepEqual(harness.guard.workerPids, pids);
});

/** What a guest that speaks HTTP/2 gets from the host that speaks HTTP/1.1; no answer within two seconds is an error. */
async function askOverHttp2(bytes: string | Buffer): Promise<{ headers: IncomingHttpHeaders; text: string }> {
  answer = Buffer.from(bytes as string, "latin1");
  const session = await openHttp2(harness.guest, "raw.test");
  try {
    const stream = session.request({ ":path": "/", ":authority": "raw.test" });
    const [headers] = (await once(stream, "response", { signal: AbortSignal.timeout(2000) })) as [IncomingHttpHeaders];
    return { headers, text: (await stream.setEncoding("utf8").toArray()).join("") };
  } finally {
    session.destroy();
  }
}

for (const length of [15, 100_000]) {
  test(`fields that should stand once and stand twice reach a guest of HTTP/2, ${length} bytes`, async () => {
    const lines = "x-content-type-options: nosniff\r\nx-content-type-options: nosniff\r\nage: 1\r\nage: 2\r\n";
    const { headers, text } = await askOverHttp2(
      `HTTP/1.1 200 OK\r\n${lines}content-length: ${length}\r\n\r\n${"a".repeat(length)}`,
    );
    assert.equal(headers[":status"], 200);
    assert.equal(headers["age"], "1");
    assert.equal(text, "a".repeat(length));
  });
}

const coded = gzipSync("ok");
const beyond: Record<string, Buffer> = {
  "with a body": Buffer.from("HTTP/1.1 700 Odd\r\ncontent-length: 2\r\n\r\nok"),
  "with a coded body": Buffer.concat([
    Buffer.from(`HTTP/1.1 700 Odd\r\ncontent-encoding: gzip\r\ncontent-length: ${coded.length}\r\n\r\n`),
    coded,
  ]),
  "without a body": Buffer.from("HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n"),
};
for (const [what, bytes] of Object.entries(beyond)) {
  test(`a status that HTTP/2 does not have, ${what}, is a failure of the host`, async () => {
    harness.events.length = 0;
    const { headers, text } = await askOverHttp2(bytes);
    assert.equal(headers[":status"], 502);
    assert.equal(JSON.parse(text).rule, "upstream-protocol");
    assert.match(JSON.parse(text).message, /status [79]/);
    await harness.refusal("upstream-protocol");
  });
}

test("random answers harm nobody", async () => {
  const pids = harness.guard.workerPids;
  const whole = Buffer.from(
    `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n`,
  );
  for (let round = 0; round < 60; round++) {
    const bytes = Buffer.from(whole);
    for (let flips = 0; flips < 3; flips++)
      bytes[Math.floor(Math.random() * bytes.length)] = Math.floor(Math.random() * 256);
    await ask(bytes.subarray(0, Math.floor(Math.random() * bytes.length) + 1));
  }
  assert.deepEqual(harness.guard.workerPids, pids);
});

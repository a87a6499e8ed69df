/** Uploads over HTTP/2, longer than the window, of which not all is read: the guest has its answer, and the stream ends. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import {
  makeSecret,
  startHarness,
  startHttp2,
  startHttps,
  startTcp,
  type Harness,
  type Upstream,
} from "../../testing/harness.ts";
import { openHttp2 } from "../../testing/talk.ts";

const secret = makeSecret(["one.test"]);
const upstreams: Upstream[] = [];
let harness: Harness;
let received: Promise<number>;

before(async () => {
  upstreams.push(
    await startHttps(["one.test"], (request, response) => {
      request.on("error", () => {});
      response.writeHead(413, { "content-length": "9" }).end("too large");
    }),
    await startHttp2(["two.test"], (server) =>
      server.on("stream", (stream, headers) => {
        stream.on("error", () => {});
        if (headers[":path"] === "/silent") {
          stream.resume();
          return;
        }
        stream.respond({ ":status": headers[":path"] === "/slow" ? 202 : 413 });
        stream.end("at once");
        if (headers[":path"] !== "/slow") return;
        let bytes = 0;
        received = new Promise((resolve) => stream.on("close", () => resolve(bytes)));
        stream.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          stream.pause();
          setTimeout(() => stream.resume(), 10);
        });
      }),
    ),
    await startTcp(createServer((socket) => socket.destroy())),
  );
  harness = await startHarness({
    policy: { allow: ["one.test", "two.test", "dead.test"] },
    resolve: {
      "one.test": `127.0.0.1:${upstreams[0]!.port}`,
      "two.test": `127.0.0.1:${upstreams[1]!.port}`,
      "dead.test": `127.0.0.1:${upstreams[2]!.port}`,
    },
    secrets: [secret],
  });
});
after(async () => {
  await harness.close();
  for (const upstream of upstreams) await upstream.close();
});

interface Upload {
  readonly host: string;
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: Buffer;
}

const long = Buffer.alloc(1_000_000, "a");
const uploads: Record<string, Upload> = {
  "a host that closes at once": { host: "dead.test", status: 502 },
  "another authority": { host: "two.test", status: 421, headers: { ":authority": "evil.test" } },
  "a placeholder in the head": { host: "two.test", status: 403, headers: { "x-key": secret.placeholder } },
  "a placeholder in the body": {
    host: "two.test",
    status: 403,
    headers: { ":path": "/silent" },
    body: Buffer.concat([long, Buffer.from(secret.placeholder), long]),
  },
  "an early answer over HTTP/1.1": { host: "one.test", status: 413 },
  "an early answer over HTTP/2": { host: "two.test", status: 413 },
};

async function ended(stream: ClientHttp2Stream, patience: number): Promise<void> {
  if (!stream.destroyed) await once(stream, "close", { signal: AbortSignal.timeout(patience) });
}

for (const [what, { host, status, headers, body }] of Object.entries(uploads)) {
  test(`${what} ends the stream of the upload`, async () => {
    const session = await openHttp2(harness.guest, host);
    const stream = session.request({ ":method": "POST", ":path": "/", ...headers });
    stream.end(body ?? long);
    const [received] = (await once(stream, "response")) as [IncomingHttpHeaders];
    assert.equal(received[":status"], status);
    stream.resume();
    await ended(stream, 15_000);
    assert.equal(stream.rstCode, 0);
    session.destroy();
  });
}

test("what was sent before the answer reaches a host that goes on reading after its answer", async () => {
  const session = await openHttp2(harness.guest, "two.test");
  const stream = session.request({ ":method": "POST", ":path": "/slow" });
  stream.end(long);
  await once(stream.resume(), "response");
  await ended(stream, 15_000);
  assert.equal(await received, long.length);
  session.destroy();
});

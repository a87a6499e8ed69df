/** Servers that are lenient, as curl and nginx accept them: early hints nobody asked for, and answers before the upload has ended. */
import assert from "node:assert/strict";
import { createServer as createTls, type TLSSocket } from "node:tls";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createServer as createTcp, type Socket } from "node:net";
import {
  makeSecret,
  startHarness,
  startHttp2,
  startTcp,
  upstreamAuthority,
  type Harness,
  type Upstream,
} from "../testing/harness.ts";
import { ask, askOver, openHttp2 } from "../testing/talk.ts";

let answer: (socket: Socket | TLSSocket) => void = () => {};
const upstreams: Upstream[] = [];
let harness: Harness;

const serve = (socket: Socket | TLSSocket): void => {
  socket.on("error", () => {});
  let head = "";
  socket.on("data", (chunk: Buffer) => {
    head += chunk.toString("latin1");
    const isHead = /^(GET|POST) \S+ HTTP/.test(head);
    if (isHead && !head.includes("\r\n\r\n")) return;
    if (isHead) answer(socket);
    head = "";
  });
};

before(async () => {
  const identity = { ...(await upstreamAuthority.issue(["one.test", "key.test"])), ALPNProtocols: ["http/1.1"] };
  upstreams.push(
    await startTcp(createTls(identity, serve)),
    await startTcp(createTcp(serve)),
    await startHttp2(["two.test"], (server) =>
      server.on("stream", (stream) => {
        stream.on("error", () => {});
        stream.additionalHeaders({ ":status": 103, link: "</x>" });
        stream.respond({ ":status": 413, "content-type": "text/plain" });
        stream.end("too large");
        stream.once("finish", () => stream.close(0));
      }),
    ),
  );
  const [tls, plain, two] = upstreams.map(({ port }) => `127.0.0.1:${port}`);
  harness = await startHarness({
    policy: { allow: ["one.test", "key.test", "two.test"] },
    secrets: [makeSecret(["key.test"])],
    resolve: { "one.test:443": tls!, "key.test:443": tls!, "one.test:80": plain!, "two.test": two! },
  });
});
after(async () => {
  await harness.close();
  for (const upstream of upstreams) await upstream.close();
});

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
for (const [what, early] of Object.entries({
  "an unasked 100": "HTTP/1.1 100 Continue\r\n\r\n",
  "several, with fields":
    "HTTP/1.1 100 Continue\r\nx: y\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
  "a 199 without a reason": "HTTP/1.1 199 \r\n\r\n",
})) {
  for (const host of ["one.test", "key.test"])
    for (const cut of [0, 1, 9, 12, 24, 1e6]) {
      test(`${what} before the answer, ${host}, cut at ${cut}`, async () => {
        answer = (socket) => {
          const all = early + ok;
          socket.write(all.slice(0, cut));
          setTimeout(() => socket.write(all.slice(cut)), 20);
        };
        const reply = await ask(harness.guest, host);
        assert.deepEqual([reply.status, reply.text], [200, "ok"]);
      });
    }
}

test("an unasked 100 on a connection that is used again", async () => {
  const connections = new Set<unknown>();
  answer = (socket) => {
    socket.write(connections.has(socket) ? `HTTP/1.1 100 Continue\r\n\r\n${ok}` : ok);
    connections.add(socket);
  };
  for (let requests = 0; requests < 3; requests++) {
    assert.equal((await ask(harness.guest, "one.test")).text, "ok");
    await sleep(50);
  }
  assert.ok(connections.size < 3);
});

test("a long answer after an unasked 100 arrives whole", async () => {
  const body = "0123456789".repeat(400_000);
  answer = (socket) =>
    void socket.write(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  for (const host of ["one.test", "key.test"]) assert.equal((await ask(harness.guest, host)).text, body);
});

const tooLarge = (more = "") => `HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n${more}\r\ntoo large`;
async function* endless(pieces: number): AsyncGenerator<Buffer> {
  for (let piece = 0; piece < pieces; piece++) {
    yield Buffer.alloc(16_384, "x");
    await sleep(1);
  }
}
const ways: Record<string, (socket: Socket | TLSSocket) => void> = {
  "reads on": (socket) => {
    socket.write(tooLarge());
    socket.resume();
  },
  "says that it closes, and lingers": (socket) => {
    socket.write(tooLarge("Connection: close\r\n"));
    socket.resume();
  },
  "closes its side, and lingers": (socket) => {
    socket.resume();
    socket.end(tooLarge("Connection: close\r\n"));
  },
  "reads no more": (socket) => void socket.write(tooLarge()),
  "closes at once": (socket) => {
    socket.pause();
    socket.write(tooLarge("Connection: close\r\n"), () => setTimeout(() => socket.destroy(), 5));
  },
};
for (const [what, respond] of Object.entries(ways))
  for (const host of ["one.test", "key.test"])
    for (const length of [undefined, 200 * 16_384]) {
      test(`an upload answered before it ends by a host that ${what}: ${host}, length ${length ?? "unknown"}`, async () => {
        answer = (socket) => respond(socket);
        const socket = await harness.guest.connectTls(`${host}:443`);
        socket.on("error", () => {});
        const reply = await askOver(socket, host, {
          method: "POST",
          body: endless(200),
          headers: length === undefined ? {} : { "content-length": String(length) },
        });
        socket.destroy();
        assert.deepEqual([reply.status, reply.text], [413, "too large"]);
      });
    }

test("the same over HTTP/2", async () => {
  const session = await openHttp2(harness.guest, "two.test");
  const stream = session.request({ ":path": "/", ":authority": "two.test", ":method": "POST" });
  stream.on("error", () => {});
  const status = new Promise((resolve) => stream.once("response", (headers) => resolve(headers[":status"])));
  for (let piece = 0; piece < 40 && !stream.destroyed; piece++) {
    stream.write(Buffer.alloc(16_384));
    await sleep(2);
  }
  assert.equal(await status, 413);
  session.destroy();
});

test("an answer that ends in the middle of early hints is a failure", async () => {
  answer = (socket) => socket.end("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 10");
  assert.equal((await ask(harness.guest, "one.test")).status, 502);
});

test("the configuration limits how long an answer may take to begin", async () => {
  const impatient = await startHarness({
    answerTimeoutSeconds: 1,
    secrets: [makeSecret(["key.test"])],
    resolve: { "key.test:443": `127.0.0.1:${upstreams[0]!.port}` },
  });
  answer = () => {};
  const reply = await ask(impatient.guest, "key.test");
  await impatient.close();
  assert.deepEqual([reply.status, JSON.parse(reply.text).rule], [504, "upstream-timeout"]);
});

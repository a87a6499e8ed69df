/** Answers of HTTP/1.1 upstreams that are not what they seem. */
import assert from "node:assert/strict";
import { createServer as createTcp, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startHarness, startTcp, type Harness, type Upstream } from "../testing/harness.ts";
import { askPlain, raw } from "../testing/talk.ts";

let answer: (socket: Socket) => void;
let upstream: Upstream;
let harness: Harness;

before(async () => {
  upstream = await startTcp(
    createTcp((socket) => {
      socket.on("error", () => {}).once("data", () => answer(socket));
    }),
  );
  harness = await startHarness({
    policy: { allow: ["api.test"] },
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
});

for (const [how, end] of [
  ["reset", (socket: Socket) => socket.resetAndDestroy()],
  ["ended", (socket: Socket) => socket.end()],
] as const) {
  test(`a body without a length whose connection is ${how}`, async () => {
    answer = (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\npartial");
      void sleep(100).then(() => end(socket));
    };
    const asked = askPlain(harness.guest, "api.test");
    if (how === "reset") await assert.rejects(asked);
    else assert.equal((await asked).text, "partial");
  });
}

test("a switch to another protocol than the one that was asked for is no answer", async () => {
  answer = (socket) => socket.write("HTTP/1.1 101 Switching\r\nupgrade: other\r\nconnection: upgrade\r\n\r\n");
  const socket = await harness.guest.connect("api.test:80");
  const text = await raw(
    socket,
    "GET / HTTP/1.1\r\nHost: api.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  assert.match(text, /^HTTP\/1\.1 502 /);
});

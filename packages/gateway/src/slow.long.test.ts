/** Visitors who are slow on purpose (slow loris): heads, handshakes and bodies that come drop by drop. Others are served meanwhile. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { after, before, describe, test } from "node:test";
import { once } from "node:events";
import { attack, block, frame, frameType } from "./testing/frames.ts";
import { listenOn, openPlace, type Place } from "./testing/programs.ts";
import { openHttp1, slowAttacks, type SlowAttack, type SlowVisitor } from "./testing/slow-visitors.ts";

const host = "abc.localhost";
let place: Place;
let program: Server;

before(async () => {
  program = createServer((request, response) => {
    request.once("end", () => response.end("ok"));
    setTimeout(() => request.resume(), request.url === "/later" ? 45_000 : 0);
    request.on("error", () => undefined);
  });
  place = await openPlace({ programs: { abc: await listenOn(program) } });
});
after(async () => {
  await place.close();
  program.closeAllConnections();
  program.close();
});

/** Sends one piece a second until the connection ends. @returns seconds that it lived */
async function drip({ socket, drop }: SlowVisitor, most: number): Promise<number> {
  const began = performance.now();
  const timer = setInterval(() => socket.write(drop()), 1_000);
  await Promise.race([
    new Promise<void>((resolve) => (socket.closed ? resolve() : socket.once("close", () => resolve()))),
    new Promise((resolve) => setTimeout(resolve, most * 1000)),
  ]);
  clearInterval(timer);
  socket.destroy();
  return (performance.now() - began) / 1000;
}

const continuations: SlowAttack = {
  name: "a head of HTTP/2, in CONTINUATION frames",
  open: async ({ port, host }) => {
    const { socket } = await attack(port, host);
    socket.write(frame(frameType.headers, 0, 1, block([[":method", "GET"]])));
    return { socket, drop: () => frame(frameType.continuation, 0, 1, block([["x", "y"]])) };
  },
};

describe("whoever sends drop by drop is cut", { concurrency: true, timeout: 150_000 }, () => {
  for (const { name, open } of [...slowAttacks, continuations])
    test(name, async (t) => {
      // Of a body of HTTP/2 the stream is reset; the connection, which has none left, ends later.
      const most = name === "a body of HTTP/2" ? 140 : 100;
      const seconds = await drip(await open({ port: place.port, host }), most);
      t.diagnostic(`${seconds.toFixed(0)} s`);
      assert.ok(seconds < most - 1);
    });

  test("a body behind a program that reads nothing for a while arrives", async () => {
    const length = 30 * 2 ** 20;
    const { socket } = await openHttp1(
      { port: place.port, host },
      `POST /later HTTP/1.1\r\nhost: ${host}\r\ncontent-length: ${length}\r\nconnection: close\r\n\r\n`,
    );
    let text = "";
    socket.on("data", (piece) => (text += String(piece)));
    socket.write(Buffer.alloc(length));
    await Promise.race([once(socket, "close"), new Promise((resolve) => setTimeout(resolve, 90_000))]);
    assert.match(text, /^HTTP\/1\.1 200 /);
  });

  test("a body that is slow but not too slow arrives", async () => {
    const began = Date.now();
    const { socket } = await openHttp1(
      { port: place.port, host },
      `POST / HTTP/1.1\r\nhost: ${host}\r\ncontent-length: 10000\r\nconnection: close\r\n\r\n`,
    );
    let text = "";
    socket.on("data", (piece) => (text += String(piece)));
    const timer = setInterval(() => socket.write("z".repeat(200)), 1_000);
    await Promise.race([once(socket, "close"), new Promise((resolve) => setTimeout(resolve, 90_000))]);
    clearInterval(timer);
    assert.match(text, /^HTTP\/1\.1 200 /);
    assert.ok(Date.now() - began > 45_000);
  });
});

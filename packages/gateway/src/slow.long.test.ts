/** Visitors who are slow on purpose (slow loris): heads, handshakes and bodies that come drop by drop. Others are served meanwhile. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { after, before, describe, test } from "node:test";
import { once } from "node:events";
import { attack, block, frame, frameType } from "./testing/frames.ts";
import { listenOn, openPlace, type Place } from "./testing/programs.ts";

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

async function http1(bytes: string): Promise<Socket> {
  const socket = connectTls({ host: "127.0.0.1", port: place.port, servername: host, rejectUnauthorized: false });
  socket.on("error", () => undefined).resume();
  await once(socket, "secureConnect");
  socket.write(bytes);
  return socket;
}

/** Sends one piece a second until the connection ends. @returns seconds that it lived */
async function drip(socket: Socket, piece: () => Buffer | string, most: number): Promise<number> {
  const began = performance.now();
  const timer = setInterval(() => socket.write(piece()), 1_000);
  await Promise.race([
    new Promise<void>((resolve) => (socket.closed ? resolve() : socket.once("close", () => resolve()))),
    new Promise((resolve) => setTimeout(resolve, most * 1000)),
  ]);
  clearInterval(timer);
  socket.destroy();
  return (performance.now() - began) / 1000;
}

describe("whoever sends drop by drop is cut", { concurrency: true, timeout: 150_000 }, () => {
  const most = 100;
  const cases: readonly [string, () => Promise<number>][] = [
    [
      "a head of HTTP/1.1",
      async () => await drip(await http1(`GET / HTTP/1.1\r\nhost: ${host}\r\nx: `), () => "y", most),
    ],
    [
      "a TLS handshake",
      async () => {
        const socket = connectTcp(place.port, "127.0.0.1");
        socket.on("error", () => undefined).resume();
        const hello = Buffer.concat([Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]), Buffer.alloc(500)]);
        let at = 0;
        return await drip(socket, () => hello.subarray(at, ++at), most);
      },
    ],
    [
      "a head of HTTP/2, in CONTINUATION frames",
      async () => {
        const { socket } = await attack(place.port, host);
        socket.write(frame(frameType.headers, 0, 1, block([[":method", "GET"]])));
        return await drip(socket, () => frame(frameType.continuation, 0, 1, block([["x", "y"]])), most);
      },
    ],
    [
      "no request of HTTP/2, but PINGs",
      async () => {
        const { socket } = await attack(place.port, host);
        return await drip(socket, () => frame(frameType.ping, 0, 0, Buffer.alloc(8)), most);
      },
    ],
    [
      "a body",
      async () =>
        await drip(await http1(`POST / HTTP/1.1\r\nhost: ${host}\r\ncontent-length: 100000\r\n\r\n`), () => "z", most),
    ],
    [
      "a body of HTTP/2",
      async () => {
        const { socket } = await attack(place.port, host);
        const fields = [
          [":method", "POST"],
          [":scheme", "https"],
          [":path", "/"],
          [":authority", host],
          ["content-length", "100000"],
        ] as const;
        socket.write(frame(frameType.headers, 4, 1, block(fields)));
        // The stream is reset; the connection, which has none left, ends later.
        return await drip(socket, () => frame(frameType.data, 0, 1, Buffer.from("z")), 140);
      },
    ],
  ];
  for (const [name, run] of cases)
    test(name, async (t) => {
      const seconds = await run();
      t.diagnostic(`${seconds.toFixed(0)} s`);
      assert.ok(seconds < (name.includes("body of") ? 139 : most - 1));
    });

  test("a body behind a program that reads nothing for a while arrives", async () => {
    const length = 30 * 2 ** 20;
    const socket = await http1(
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
    const socket = await http1(
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

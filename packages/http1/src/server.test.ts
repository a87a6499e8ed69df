/** The parts that need connections, with Node's own server over real sockets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { connect, type AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { answerOnSocket, parserRefusal, PendingAnswers, strictServerOptions, switchToWebSocket } from "./index.ts";

const pending = new PendingAnswers();
const counts: number[] = [];
const closed: string[] = [];
let answer: (response: ServerResponse) => void = () => undefined;
const server = createServer(
  strictServerOptions({ headerBytes: 1024, headers: 5_000, keepAlive: 5_000 }),
  (request, response) => {
    pending.add(request.socket, response);
    counts.push(pending.count(request.socket));
    response.once("close", () => closed.push(request.url ?? ""));
    answer(response);
  },
);
server.on("upgrade", (_, socket: Duplex) => {
  switchToWebSocket(socket, [["x-own", "\u00e9"]]);
  assert.throws(() => switchToWebSocket(socket, [["x", "a\r\nb: c"]]), TypeError);
  socket.end();
});
server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
  const refusal = parserRefusal(error);
  if (refusal === undefined) socket.destroy();
  else answerOnSocket(socket, refusal.status, [["x-own", "1"]], refusal.message, 100);
});

before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
after(() => {
  server.closeAllConnections();
  server.close();
});

async function raw(bytes: string): Promise<string> {
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
  socket.on("error", () => undefined);
  socket.write(bytes);
  await once(socket, "close");
  return text;
}

test("what the parser does not accept gets an answer with its reason, and the connection ends", async () => {
  assert.match(
    await raw("GET / HTTP/1.1\r\nx : y\r\n\r\n"),
    /^HTTP\/1\.1 400 Bad Request\r\nx-own: 1\r\ncontent-length: \d+\r\nconnection: close\r\n\r\nThe request is not valid HTTP\/1\.1 \(HPE_/,
  );
  assert.match(await raw(`GET / HTTP/1.1\r\nx: ${"y".repeat(2_000)}\r\n\r\n`), /^HTTP\/1\.1 431 .*too long/s);
});

test("a WebSocket begins with a 101 of ours; other offers are ignored", async () => {
  const ask = (to: string) => raw(`GET / HTTP/1.1\r\nconnection: upgrade, close\r\nupgrade: ${to}\r\n\r\n`);
  assert.match(
    await ask("WebSocket"),
    /^HTTP\/1\.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nx-own: \u00e9\r\n\r\n/,
  );
  answer = (response) => response.writeHead(200, { connection: "close" }).end();
  assert.match(await ask("h2c"), /^HTTP\/1\.1 200 /);
});

test("answers of a connection that ends are closed, also those whose turn has not come", async () => {
  counts.length = closed.length = 0;
  const { promise: all, resolve } = Promise.withResolvers<void>();
  answer = () => void (counts.length === 3 && resolve());
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket.write(["/1", "/2", "/3"].map((path) => `GET ${path} HTTP/1.1\r\n\r\n`).join(""));
  await all;
  assert.deepEqual(counts, [1, 2, 3]);
  socket.destroy();
  for (let wait = 0; closed.length < 3 && wait < 200; wait++) await sleep(5);
  assert.deepEqual(closed.toSorted(), ["/1", "/2", "/3"]);
});

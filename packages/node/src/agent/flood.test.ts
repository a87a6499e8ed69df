/** Frames that nobody asked for, on real sockets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttp2Server } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connectAgent } from "./client.ts";

let directory: string;
let path: string;
let server: Server;
let converse: (socket: Socket) => void;
let connections: number;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-flood-"));
  path = join(directory, "control.sock");
  connections = 0;
  server = createServer((socket) => {
    connections++;
    socket.on("error", () => undefined);
    socket.once("data", (line) => {
      socket.write(String(line).slice(0, 46));
      converse(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
});
afterEach(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

/** RFC 9113, 4.1: length, type, flags, stream. */
function frame(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  return Buffer.concat([header, payload]);
}

test("a guest that sends legal frames without end loses its session", async () => {
  const settings = 4;
  // Of a type that does not exist, which a receiver must ignore (RFC 9113, 5.5).
  const ignored = frame(0xf0, Buffer.alloc(16_384 - 9));
  const lost = Promise.withResolvers<void>();
  converse = (socket) => {
    socket.resume();
    socket.write(frame(settings, Buffer.alloc(0)));
    const flood = setInterval(() => {
      if (!socket.writableNeedDrain) for (let sent = 0; sent < 64; sent++) socket.write(ignored);
    }, 10);
    socket.once("close", () => {
      clearInterval(flood);
      lost.resolve();
    });
  };
  const agent = connectAgent(path);
  await agent.ready(2000);
  await lost.promise;
  agent.end();
});

test("a guest that answers much, and quickly, keeps its session", async () => {
  const http = createHttp2Server().on("stream", (stream) => {
    stream.respond({ ":status": 200 });
    stream.end(Buffer.alloc(32 * 2 ** 20));
  });
  converse = (socket) => http.emit("connection", socket);
  const agent = connectAgent(path);
  for (let round = 0; round < 2; round++) {
    await once(agent.readStream(1n).resume(), "end");
    await sleep(1200);
  }
  assert.equal(connections, 1);
  agent.end();
});

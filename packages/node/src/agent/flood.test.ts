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
function frame(type: number, payload: Buffer, { flags = 0, stream = 0 } = {}): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

const [data, headers, settings, pingType] = [0, 1, 4, 6];
/** `:status: 200`, entry 8 of the static table, and END_HEADERS. */
const ok = (stream: number) => frame(headers, Buffer.from([0x88]), { flags: 4, stream });
const floods: Readonly<Record<string, { readonly frame: Buffer; readonly detail: RegExp }>> = {
  // Which a receiver must ignore (RFC 9113, 5.5).
  "frames of a type that does not exist": { frame: frame(0xf0, Buffer.alloc(16_384 - 9)), detail: /control frames/ },
  PING: { frame: frame(pingType, Buffer.alloc(8)), detail: /control frames/ },
  "empty content of an open stream": { frame: frame(data, Buffer.alloc(0), { stream: 1 }), detail: /control frames/ },
  "single bytes of content of an open stream": { frame: frame(data, Buffer.alloc(1), { stream: 1 }), detail: /tiny/ },
};
for (const [what, { frame: unwanted, detail }] of Object.entries(floods)) {
  for (const open of [false, true]) {
    if (!open && what.includes("open stream")) continue;
    test(`${what}, without end${open ? ", while a stream is open" : ""}: nothing more is read from the guest`, async () => {
      const block = Buffer.concat(Array.from({ length: Math.ceil(65_536 / unwanted.length) }, () => unwanted));
      let sent = 0;
      converse = (socket) => {
        socket.resume();
        socket.write(frame(settings, Buffer.alloc(0)));
        const fill = () => {
          while (!socket.destroyed && socket.write(block)) sent += block.length;
        };
        socket.on("drain", fill);
        // The first stream of a client has number 1.
        setTimeout(() => {
          if (open) socket.write(ok(1));
          fill();
        }, 50);
      };
      const agent = connectAgent(path);
      await agent.ready(2000);
      if (open)
        agent
          .readStream(1n)
          .on("error", () => undefined)
          .resume();
      assert.match(await agent.flooded, detail);
      await agent.closed;
      const before = sent;
      await sleep(100);
      assert.equal(sent, before, "the guest is still read");
      await assert.rejects(agent.ready(100));
    });
  }
}

test("a guest that breaks off its sessions again and again is not connected to for ever", async () => {
  converse = (socket) => {
    socket.write(frame(settings, Buffer.alloc(0)));
    setTimeout(() => socket.write("garbage in place of a frame"), 5);
  };
  const agent = connectAgent(path);
  assert.match(await agent.flooded, /breaks the protocol/);
  assert.ok(connections > 5 && connections < 100, `${connections} connections`);
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

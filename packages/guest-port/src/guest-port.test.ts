import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { connectPort, EchoFinder } from "./guest-port.ts";

let directory: string;
let server: Server;
let path: string;
let serve: (socket: Socket) => void;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-port-"));
  path = join(directory, "port.sock");
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
});
afterEach(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

const connect = (deadlineMs = 2000) => connectPort(path, { deadlineMs, signal: new AbortController().signal });

test("stale bytes before the echo are discarded, bytes after it are kept", async () => {
  serve = (socket) =>
    socket.once("data", (line) =>
      socket.write(Buffer.concat([Buffer.from("stale CAISSON-SYNC "), line, Buffer.from("fresh")])),
    );
  const socket = await connect();
  assert.equal(String(socket.read()), "fresh");
  socket.destroy();
});

test("the line is sent again until it is answered", async () => {
  serve = (socket) => {
    let seen = "";
    socket.on("data", (chunk) => {
      seen += String(chunk);
      const lines = seen.split("\n");
      if (lines.length > 3) socket.write(`${lines[0]}\n`);
    });
  };
  (await connect()).destroy();
});

test("an echo in single bytes is found", () => {
  const finder = new EchoFinder("CAISSON-SYNC x\n");
  const bytes = Buffer.from("CAISSON-SYNC CAISSON-SYNC x\nrest");
  const found = [...bytes].map((byte) => finder.push(Buffer.from([byte]))).findIndex((rest) => rest !== undefined);
  assert.equal(found, "CAISSON-SYNC CAISSON-SYNC x\n".length - 1);
});

test("somebody else's echo, silence and noise without end do not connect", async () => {
  serve = (socket) => socket.write(`CAISSON-SYNC ${"0".repeat(32)}\n`);
  await assert.rejects(connect(300), { code: "timeout" });
  const finder = new EchoFinder("CAISSON-SYNC x\n");
  const noise = Buffer.alloc(2 ** 26);
  assert.throws(
    () => {
      for (let sent = 0; sent <= 256 * 2 ** 20; sent += noise.length) finder.push(noise);
    },
    { code: "guest_error" },
  );
});

test("a port that ends, a signal that aborts", async () => {
  serve = (socket) => socket.destroy();
  await assert.rejects(connect(), { code: "unavailable" });
  serve = () => undefined;
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 50);
  await assert.rejects(connectPort(path, { deadlineMs: 2000, signal: abort.signal }), { code: "cancelled" });
});

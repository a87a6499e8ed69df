/** A hostile agent: whatever it sends ends its own session, never this process, and never holds a caller for ever. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { type AgentClient, connectAgent } from "./client.ts";

let directory: string;
let path: string;
let server: Server;
let http: Http2Server;
let agent: AgentClient | undefined;
/** After the handshake. */
let converse: (socket: Socket) => void;
let answer: (stream: ServerHttp2Stream, path: string) => void;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-agent-"));
  path = join(directory, "control.sock");
  http = createHttp2Server().on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    answer(stream, String(headers[":path"]));
  });
  http.on("sessionError", () => undefined);
  converse = (socket) => http.emit("connection", socket);
  answer = (stream) => stream.respond({ ":status": 404 }, { endStream: true });
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (line) => {
      socket.write(String(line).slice(0, 46));
      converse(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
});
afterEach(async () => {
  agent?.end();
  agent = undefined;
  server.close();
  await rm(directory, { recursive: true });
});

const rejection = (call: Promise<unknown>) =>
  call.then(
    () => assert.fail("it was answered"),
    (error: unknown) => error,
  );

test("garbage instead of HTTP/2 leaves the caller with an error", async () => {
  converse = (socket) => {
    socket.write(randomBytes(65_536));
  };
  agent = connectAgent(path);
  await rejection(agent.ready(500));
});

test("an answer longer than the limit, a truncated one, and one that is no message", async () => {
  agent = connectAgent(path);
  answer = (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/proto" });
    const chunk = Buffer.alloc(2 ** 20);
    const write = () => {
      if (!stream.destroyed) stream.write(chunk, write);
    };
    write();
  };
  await rejection(agent.machine.hello({}, { timeoutMs: 10_000 }));
  answer = (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/proto" });
    stream.end(randomBytes(100));
  };
  await rejection(agent.machine.hello({}));
  answer = (stream) => stream.respond({ ":status": 200, "content-type": "text/html" }, { endStream: true });
  await rejection(agent.machine.hello({}));
});

test("a call that is reset without an error code still ends", async () => {
  agent = connectAgent(path);
  answer = (stream) => stream.close(0);
  await rejection(agent.machine.hello({}));
});

test("headers without end do not reach us", async () => {
  agent = connectAgent(path);
  answer = (stream) => {
    const headers: Record<string, string> = { ":status": "200" };
    for (let index = 0; index < 500; index++) headers[`x-${index}`] = "y".repeat(100);
    stream.respond(headers, { endStream: true });
  };
  await rejection(agent.machine.hello({}, { timeoutMs: 5000 }));
});

test("a session that breaks is opened again", async () => {
  agent = connectAgent(path);
  let calls = 0;
  answer = (stream) => {
    calls++;
    if (calls === 1) stream.session?.destroy();
    else {
      stream.respond({ ":status": 200, "content-type": "application/proto" });
      stream.end();
    }
  };
  await rejection(agent.machine.hello({}));
  assert.equal((await agent.machine.hello({})).version, "");
});

test("streams: refused, cut off, complete", async () => {
  agent = connectAgent(path);
  const current = agent;
  answer = (stream, at) => {
    if (at === "/streams/1") stream.respond({ ":status": 404 }, { endStream: true });
    if (at === "/streams/2") {
      stream.respond({ ":status": 200 });
      stream.write("half", () => stream.session?.destroy());
    }
    if (at === "/streams/3") {
      stream.respond({ ":status": 200 });
      stream.end("whole");
    }
    if (at === "/streams/4") stream.respond({ ":status": 410 }, { endStream: true });
    if (at === "/streams/5") stream.resume().on("end", () => stream.respond({ ":status": 204 }, { endStream: true }));
  };
  const read = async (id: bigint) => {
    let text = "";
    for await (const chunk of current.readStream(id)) text += String(chunk);
    return text;
  };
  await assert.rejects(read(1n), { code: "not_found" });
  await assert.rejects(read(2n), { code: "unavailable" });
  assert.equal(await read(3n), "whole");
  const error = await new Promise((resolve) => {
    const input = current.writeStream(4n).once("error", resolve);
    input.write("x");
  });
  assert.equal((error as NodeJS.ErrnoException).code, "EPIPE");
  await new Promise<void>((resolve, reject) => current.writeStream(5n).once("error", reject).end("bytes", resolve));
});

test("after the end nothing is connected and every call fails", async () => {
  agent = connectAgent(path);
  await agent.ready(1000);
  agent.end();
  await agent.closed;
  await rejection(agent.machine.hello({}));
});

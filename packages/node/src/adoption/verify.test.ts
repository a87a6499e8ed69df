/** Which guests of a former process go on: by what their agents answer over a real connection. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { type AgentClient, connectAgent } from "../agent/client.ts";
import { verifyGuest } from "./verify.ts";

const [personalized, configured] = [2, 3];
let directory: string;
let server: Server;
let agent: AgentClient;
let lines: string[];
let answer: (stream: ServerHttp2Stream) => void;
/** Whether the guest runs at all. */
let running: boolean;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-verify-"));
  lines = [];
  running = true;
  const http = createHttp2Server().on("stream", (stream) => answer(stream));
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    const echo = (line: Buffer) => {
      if (!running) return;
      socket.off("data", echo);
      socket.write(String(line).slice(0, 46));
      http.emit("connection", socket);
    };
    socket.on("data", echo);
  });
  const path = join(directory, "control.sock");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  agent = connectAgent(path);
});
afterEach(async () => {
  agent.end();
  server.close();
  await rm(directory, { recursive: true });
});

/** HelloResponse: field 1 is the version, field 2 the state. Field 99 is one that we do not know yet. */
const hello = (version: string, state: number) => (stream: ServerHttp2Stream) => {
  stream.respond({ ":status": 200, "content-type": "application/proto" });
  const unknown = Buffer.from([0x98, 0x06, 0x01]);
  stream.end(
    Buffer.concat([Buffer.from([0x0a, version.length]), Buffer.from(version), Buffer.from([0x10, state]), unknown]),
  );
};

const verify = (options: { stalled?: () => Promise<boolean>; patienceMs?: number } = {}) =>
  verifyGuest({
    id: "machine",
    agent,
    agentVersion: "ours",
    stalled: async () => false,
    log: pino({}, { write: (line: string) => void lines.push(line) }),
    ...options,
  });

test("an agent of this version goes on, and one of another version of the same contract as well", async () => {
  answer = hello("ours", configured);
  assert.equal(await verify(), undefined);
  assert.deepEqual(lines, []);
  for (const version of ["older", "newer"]) {
    answer = hello(version, configured);
    assert.equal(await verify(), undefined);
    assert.match(lines.at(-1)!, new RegExp(`"version":"${version}","ours":"ours"`));
  }
});

test("an agent of another contract is ended with a reason", async () => {
  answer = (stream) => stream.respond({ ":status": 404 }, { endStream: true });
  assert.match((await verify())!, /does not serve version 1 of the contract/);
});

test("a guest that was never handed out is ended with a reason", async () => {
  answer = hello("ours", personalized);
  assert.match((await verify())!, /had not been handed to its sandbox/);
});

test("a guest that is silent is ended after a while, but not while its monitor keeps it paused", async () => {
  running = false;
  answer = hello("ours", configured);
  assert.match((await verify({ patienceMs: 100 }))!, /did not answer/);
  let stalled = true;
  const verdict = verify({ patienceMs: 800, stalled: async () => stalled });
  let decided = false;
  void verdict.then(() => (decided = true));
  await sleep(2500);
  assert.equal(decided, false);
  assert.match(lines.at(-1)!, /paused until the host's disk has free space/);
  running = true;
  stalled = false;
  assert.equal(await verdict, undefined);
});

/**
 * A hostile agent on a real socket: the first byte of an input says what the host asks, the rest is what comes back. Each call ends
 * soon, with an answer or with an error that its callers know.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { CaissonError } from "@caisson/protocol";
import { asBytes, cut, frameFlag, frameType, fuzz, http2Frame, http2Frames, mutatedBytes } from "@caisson/testing/fuzz";
import { ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { type AgentClient, connectAgent } from "./client.ts";

let directory: string;
let path: string;
let server: Server;
let answer: Buffer = Buffer.alloc(0);

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-fuzz-"));
  path = join(directory, "control.sock");
  server = createServer((socket) => void converse(socket));
  await new Promise<void>((resolve) => server.listen(path, resolve));
});
after(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

const settings = http2Frame(frameType.settings, 0, 0, Buffer.alloc(0));
const acknowledgement = http2Frame(frameType.settings, frameFlag.acknowledge, 0, Buffer.alloc(0));

/** Answers the handshake, opens a session properly, waits for the question, gives its answer and leaves. */
async function converse(socket: Socket): Promise<void> {
  let seen = Buffer.alloc(0);
  let synchronised = false;
  socket.on("error", () => undefined);
  socket.on("data", (chunk) => {
    seen = Buffer.concat([seen, chunk]);
    if (!synchronised && seen.length >= 46) {
      synchronised = true;
      socket.write(Buffer.concat([seen.subarray(0, 46), settings, acknowledgement]));
      seen = Buffer.from(seen.subarray(46));
    }
    if (synchronised && hasQuestion(seen)) {
      socket.removeAllListeners("data").resume();
      for (const piece of cut(answer, 2000, answer.length)) socket.write(piece);
      socket.end();
    }
  });
}

/** Whether a HEADERS frame has come. */
function hasQuestion(seen: Buffer): boolean {
  for (let at = 24; at + 9 <= seen.length; at += 9 + seen.readUIntBE(at, 3))
    if (seen[at + 3] === frameType.headers) return true;
  return false;
}

const operations: readonly ((agent: AgentClient, signal: AbortSignal) => Promise<unknown>)[] = [
  (agent, signal) => agent.machine.hello({}, { signal }),
  (agent, signal) => agent.machine.stats({}, { signal }),
  (agent, signal) => agent.files.readDir({ path: "/" }, { signal }),
  (agent, signal) => agent.files.readFile({ path: "/x" }, { signal }),
  (agent, signal) => agent.files.stat({ path: "/x" }, { signal }),
  (agent, signal) => agent.environment.list({}, { signal }),
  (agent, signal) => agent.processes.spawn({ command: "true" }, { signal }),
  (agent, signal) => agent.processes.wait({ pid: 1 }, { signal }),
  async (agent, signal) => {
    for await (const batch of agent.files.walk({ path: "/" }, { signal })) assert.ok(batch);
  },
  async (agent) => {
    for await (const chunk of agent.readStream(1n)) assert.ok(Buffer.isBuffer(chunk));
  },
  (agent) =>
    new Promise((resolve) => {
      const stream = agent.writeStream(1n);
      stream.once("error", resolve).once("close", () => resolve(undefined));
      stream.write("to the guest");
      stream.end();
    }),
  async (agent, signal) => {
    const stream = await agent.dial("localhost", 80, { signal });
    stream.write("to the guest");
    // It may have closed before anybody could listen.
    if (!stream.closed) await new Promise<void>((resolve) => stream.resume().once("close", resolve));
  },
];

const header = fc.tuple(
  fc.constantFrom(
    ":status",
    "content-type",
    "caisson-reason",
    "trailer",
    "content-encoding",
    "content-length",
    "connect-protocol-version",
    "x",
  ),
  fc.oneof(
    fc.constantFrom(
      "200",
      "204",
      "404",
      "410",
      "403",
      "502",
      "100",
      "1",
      "",
      "application/proto",
      "application/json",
      "application/connect+proto",
      "gzip",
      "5",
    ),
    fc.string({ maxLength: 20 }),
  ),
);
const ordinary = fc.constantFrom<[string, string][]>(
  [
    [":status", "200"],
    ["content-type", "application/proto"],
  ],
  [
    [":status", "200"],
    ["content-type", "application/connect+proto"],
  ],
  [
    [":status", "404"],
    ["content-type", "application/json"],
  ],
  [[":status", "200"]],
);
const fields = fc.tuple(ordinary, fc.array(header, { maxLength: 3 })).map(([first, more]) => [...first, ...more]);
/** Envelopes of Connect (flags, length, message), JSON of errors, protobuf of anything. */
const body = fc.oneof(
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  fc
    .tuple(fc.constantFrom(0, 1, 2, 3), fc.uint8Array({ maxLength: 40 }), fc.constantFrom(0, 0, 1, 2 ** 31))
    .map(([flags, bytes, lie]) => {
      const head = Buffer.from([flags, 0, 0, 0, 0]);
      head.writeUInt32BE(bytes.length + lie, 1);
      return Buffer.concat([head, bytes]);
    }),
  fc.json().map((text) => Buffer.from(text)),
  fc.constantFrom(
    Buffer.from(
      '{"code":"not_found","message":"x","details":[{"type":"caisson.agent.v1.OperationError","value":"CgZFTk9FTlQ"}]}',
    ),
    Buffer.from('\x02\0\0\0\x0c{"error":{}}'),
    Buffer.from("0a0474657374100118ffffffffffffffffff01", "hex"),
  ),
);

fuzz({
  name: "agent-client",
  directory: import.meta.dirname,
  codec: asBytes,
  limit: 4000,
  input: (seeds) =>
    mutatedBytes(
      seeds,
      fc
        .tuple(fc.nat({ max: operations.length - 1 }), http2Frames(fields, body))
        .map(([operation, frames]) => Buffer.concat([Buffer.from([operation]), frames])),
    ),
  async check(bytes) {
    answer = bytes.subarray(1);
    const agent = connectAgent(path);
    // What has got no answer when the guest is gone is asked again by nobody; the signal is for answers that begin and do not end.
    const signal = AbortSignal.timeout(1500);
    try {
      await operations[(bytes[0] ?? 0) % operations.length]!(agent, signal);
    } catch (error) {
      assert.ok(error instanceof CaissonError || error instanceof ConnectError, `${(error as Error).stack}`);
    } finally {
      agent.end();
    }
  },
});

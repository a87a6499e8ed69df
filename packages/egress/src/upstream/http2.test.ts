/** One exchange over HTTP/2 with an upstream that does as it likes. */
import assert from "node:assert/strict";
import { createServer as createHttp2 } from "node:http2";
import { createServer as createTcp, type Server, type Socket } from "node:net";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { canonicalHost } from "@caisson/policy";
import { startTcp } from "../testing/harness.ts";
import { callHttp2 } from "./http2.ts";
import { Origins } from "./origins.ts";
import { createUpstreamTrust } from "./trust.ts";
import type { UpstreamCall, UpstreamRequest } from "./request.ts";

const origins = new Origins({ trust: createUpstreamTrust([]) });
const open: { close(): Promise<void> }[] = [];
after(async () => {
  origins.destroy();
  for (const each of open) await each.close();
});

const [dataFrame, headersFrame, resetFrame, settingsFrame] = [0, 1, 3, 4];
function frame(type: number, flags: number, stream: number, payload: Buffer | string = ""): Buffer {
  const bytes = Buffer.from(payload as string);
  const head = Buffer.alloc(9);
  head.writeUIntBE(bytes.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, bytes]);
}
/** `:status: 200`, as HPACK has it. */
const fine = frame(headersFrame, 4, 1, Buffer.from([0x88]));

/** Answers the first stream with these frames. */
function scripted(frames: readonly Buffer[]): Server {
  return createTcp((socket: Socket) => {
    socket.on("error", () => {}).write(frame(settingsFrame, 0, 0));
    let received = Buffer.alloc(0);
    let at = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".length;
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      for (; received.length >= at + 9; at += 9 + received.readUIntBE(at, 3))
        if (received[at + 3] === headersFrame) socket.write(Buffer.concat(frames));
    });
  });
}

interface Outcome {
  readonly pieces: Buffer[];
  readonly failure?: Error;
}

async function ask(server: Server, headers: UpstreamRequest["headers"] = [], unread = 0): Promise<Outcome> {
  const upstream = await startTcp(server);
  open.push(upstream);
  const target = { addresses: ["127.0.0.1"], port: upstream.port, key: String(upstream.port) };
  const origin = origins.get("http", canonicalHost("api.test")!, target);
  const free = await origin.http2(new AbortController().signal);
  const pieces: Buffer[] = [];
  return await new Promise((resolve) => {
    const call: UpstreamCall = callHttp2(
      free!,
      "http",
      { method: "GET", target: "/", authority: "api.test", headers },
      {
        head() {
          if (unread === 0) return;
          call.pause();
          void sleep(unread).then(() => call.resume());
        },
        data: (chunk) => pieces.push(chunk),
        end: () => resolve({ pieces }),
        fail: (failure) => resolve({ pieces, failure }),
      },
    );
  });
}

test("a stream that is reset in the middle of its body is not a whole answer, were it without an error", async () => {
  const partial = frame(dataFrame, 0, 1, "partial");
  const { failure } = await ask(scripted([fine, partial, frame(resetFrame, 0, 1, Buffer.alloc(4))]));
  assert.match(String(failure), /broke off/);
  const whole = frame(dataFrame, 1, 1, "whole");
  const ended = await ask(scripted([fine, whole, frame(resetFrame, 0, 1, Buffer.alloc(4))]));
  assert.deepEqual([ended.failure, Buffer.concat(ended.pieces).toString()], [undefined, "whole"]);
});

test("what comes in single bytes while nobody reads is kept in one piece", async () => {
  const letters = "abcdefghij".repeat(5000);
  const bytes = letters.split("").map((letter) => frame(dataFrame, 0, 1, letter));
  const { pieces, failure } = await ask(scripted([fine, ...bytes, frame(dataFrame, 1, 1, "")]), [], 500);
  assert.equal(failure, undefined);
  assert.equal(Buffer.concat(pieces).toString(), letters);
  // Those that came with the head were not yet unread: on a busy host some reads of 64 KiB.
  assert.ok(pieces.length < letters.length / 2, `${pieces.length} pieces`);
});

test("fields are sent whatever they are called", async () => {
  const server = createHttp2((request, response) => {
    const received = request.rawHeaders;
    response.end(JSON.stringify(["constructor", "__proto__"].map((name) => received[received.indexOf(name) + 1])));
  });
  const { pieces } = await ask(server, [
    ["constructor", "one"],
    ["__proto__", "two"],
  ]);
  assert.deepEqual(JSON.parse(Buffer.concat(pieces).toString()), ["one", "two"]);
});

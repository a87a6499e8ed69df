import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { configSchema } from "@caisson/protocol";
import { OperationFailure } from "../errors.ts";
import { LongText } from "../incoming/long-text.ts";
import { parseFrame } from "../incoming/parse.ts";
import { MemoryLedger } from "../memory/ledger.ts";
import type { LiveSandbox } from "../../sandboxes/index.ts";
import type { Sender } from "../sender.ts";
import { InboundStream } from "./inbound-stream.ts";
import { InboundStreams } from "./inbound.ts";
import { Budget } from "../../kernel/memory/budget.ts";
import { Turns } from "../../kernel/turns.ts";
import { ReceiveBudget } from "./receive-budget.ts";

/** Longer than any of these tests takes, milliseconds. */
const long = 60_000;
const never = new AbortController().signal;

function open() {
  const budget = new ReceiveBudget({ pause() {}, resume() {}, dropLargest() {} }, new Budget(2 ** 30));
  let ended = 0;
  const stream = new InboundStream(1, budget, new Turns().of("org"), () => ended++);
  return { stream, budget, ended: () => ended };
}

async function content(stream: InboundStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

test("a small stream is handed over as one piece, whenever it came", async () => {
  const early = open().stream;
  early.enqueue(Buffer.from("a"));
  early.enqueue(Buffer.from("b"));
  early.end();
  assert.equal(String(await early.whole(2, long, never)), "ab");

  const late = open().stream;
  const whole = late.whole(2, long, never);
  await sleep(1);
  late.enqueue(Buffer.from("c"));
  await sleep(1);
  late.end();
  assert.equal(String(await whole), "c");

  const empty = open().stream;
  empty.end();
  assert.equal((await empty.whole(2, long, never))?.length, 0);
});

test("a stream that is larger, or slower, is left to be read in full", async () => {
  const large = open().stream;
  const answer = large.whole(2, long, never);
  large.enqueue(Buffer.from("abc"));
  assert.equal(await answer, undefined);
  large.enqueue(Buffer.from("def"));
  large.end();
  assert.equal(await content(large), "abcdef");

  const slow = open().stream;
  slow.enqueue(Buffer.from("g"));
  assert.equal(await slow.whole(2, 1, never), undefined);
  slow.end();
  assert.equal(await content(slow), "g");
});

test("whoever waits for a stream hears of its failure, and of their own abort", async () => {
  const failing = open().stream;
  const failed = failing.whole(2, long, never);
  failing.fail({ constructorName: "RangeError", message: "broken" });
  await assert.rejects(failed, (error) => error instanceof OperationFailure && error.message === "broken");
  await assert.rejects(failing.whole(2, long, never), { message: "broken" });

  const abort = new AbortController();
  const aborted = open().stream.whole(2, long, abort.signal);
  abort.abort(new Error("no longer"));
  await assert.rejects(aborted, { message: "no longer" });
});

test("what was handed over as one piece counts as unread until the stream is destroyed", async () => {
  const mebibyte = 2 ** 20;
  const { stream, budget, ended } = open();
  stream.enqueue(Buffer.alloc(3 * mebibyte));
  stream.end();
  assert.equal((await stream.whole(4 * mebibyte, long, never))?.length, 3 * mebibyte);
  assert.deepEqual([budget.paused, ended()], [true, 0]);
  stream.destroy();
  await sleep(1);
  assert.deepEqual([budget.paused, ended()], [false, 1]);
  budget.close();
});

/** @param send gets the frames to the client */
function connection(send: (frame: string) => void = () => undefined) {
  const ledger = new MemoryLedger(configSchema.parse({}).limits);
  const memory = ledger.of({ orgId: "org" } as LiveSandbox);
  const streams = new InboundStreams(
    { send } as unknown as Sender,
    { pause() {}, resume() {} },
    memory,
    new Turns().of("org"),
  );
  return { ledger, memory, streams };
}

test("a connection that ends gives back the memory of every stream, also of those that nobody claimed", async () => {
  const { ledger, memory, streams } = connection();
  for (const streamId of [1, 2, 3]) {
    streams.receive("$sandbox.stream.start", { streamId });
    streams.receive("$sandbox.stream.enqueue", { streamId, data: "QUJD" });
  }
  streams.receive("$sandbox.stream.end", { streamId: 1 });
  streams.receive("$sandbox.stream.end", { streamId: 2 });
  const claimed = streams.claim(2);
  assert.ok(memory.streams.used > 0);
  streams.close();
  assert.equal(await content(claimed), "ABC");
  await sleep(1);
  assert.deepEqual(ledger.used(), { calls: 0, streams: 0, content: 0 });
});

test("a long piece is decoded as it is read, in order with the others, and its memory goes with it", async () => {
  const { ledger, memory, streams } = connection();
  const data = Buffer.alloc(300_000, "caisson ");
  streams.receive("$sandbox.stream.start", { streamId: 1 });
  streams.receive("$sandbox.stream.enqueue", { streamId: 1, data: Buffer.from("<").toString("base64") });
  const params = { streamId: 1, data: data.toString("base64") };
  const frame = parseFrame(Buffer.from(JSON.stringify({ jsonrpc: "2.0", method: "$sandbox.stream.enqueue", params })));
  assert.ok(frame.long instanceof LongText);
  const long = (frame.value as { params: unknown }).params;
  assert.ok(streams.receive("$sandbox.stream.enqueue", long, frame.long, memory.content.try(1000)));
  streams.receive("$sandbox.stream.enqueue", { streamId: 1, data: Buffer.from(">").toString("base64") });
  streams.receive("$sandbox.stream.end", { streamId: 1 });
  assert.equal(await content(streams.claim(1)), `<${data.toString()}>`);
  await sleep(1);
  assert.deepEqual(ledger.used(), { calls: 0, streams: 0, content: 0 });
});

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eachLine, lastOutput, OutputTail, withOutput, withoutOutput } from "./output.ts";

async function lines(...chunks: (string | Buffer | Error)[]): Promise<string[]> {
  const found: string[] = [];
  async function* source() {
    for (const chunk of chunks) {
      if (chunk instanceof Error) throw chunk;
      yield Buffer.from(chunk as string);
    }
  }
  await eachLine(Readable.from(source()), (line) => found.push(line));
  return found;
}

test("lines are whole however they arrive, and the last one needs no end", async () => {
  assert.deepEqual(await lines("a", "b\nc\r\n", "\nlast"), ["ab", "c", "", "last"]);
  const umlaut = Buffer.from("ä");
  assert.deepEqual(await lines(umlaut.subarray(0, 1), umlaut.subarray(1), "\n"), ["ä"]);
  assert.deepEqual(await lines("before a crash", new Error("the machine ended")), ["before a crash"]);
});

test("a line without an end is cut, and nothing of it is lost", async () => {
  const found = await lines("x".repeat(40_000));
  assert.deepEqual(
    found.map(({ length }) => length),
    [16_384, 16_384, 7_232],
  );
});

test("what arrives later is read when the lines before were taken", async () => {
  let under = 0;
  let most = 0;
  const store = async () => {
    most = Math.max(most, ++under);
    await sleep(1);
    under--;
  };
  await eachLine(Readable.from(Array.from({ length: 20 }, () => Buffer.from("a\nb\n"))), store);
  assert.deepEqual([most, under], [2, 0]);
});

test("output that never ends is not waited for", async () => {
  await lastOutput(new Promise(() => {}), 20);
  await lastOutput(Promise.resolve(), 60_000);
});

test("the tail is the end", () => {
  const tail = new OutputTail();
  for (let i = 0; i < 10_000; i++) tail.add(`line ${i}`);
  assert.match(tail.text, /line 9999$/);
  assert.ok(tail.text.length <= 4096);
});

test("owners see what their program printed, visitors do not", () => {
  const tail = new OutputTail();
  assert.equal(withOutput("It ended.", tail), "It ended. It printed nothing.");
  tail.add("password=abc");
  const message = withOutput("It ended.", tail);
  assert.equal(message, "It ended. Its last output:\npassword=abc");
  assert.equal(withoutOutput(`It does not start. ${message}`), "It does not start. It ended.");
  assert.equal(withoutOutput("It ended."), "It ended.");
});

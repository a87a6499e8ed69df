import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { eachLine, OutputTail } from "./output.ts";

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

test("the tail is the end", () => {
  const tail = new OutputTail();
  for (let i = 0; i < 10_000; i++) tail.add(`line ${i}`);
  assert.match(tail.text, /line 9999$/);
  assert.ok(tail.text.length <= 4096);
});

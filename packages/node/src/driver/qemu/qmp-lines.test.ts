import assert from "node:assert/strict";
import { test } from "node:test";
import { maximumLineBytes, QmpLines } from "./qmp-lines.ts";

test("messages are whole, however the bytes arrive", () => {
  const text = '{"QMP": {}}\r\n{"return": "ä"}\n\n{"event": "STOP"}\n{"ret';
  for (const size of [1, 2, 3, 7, 1000]) {
    const lines = new QmpLines();
    const bytes = Buffer.from(text);
    const messages = [];
    for (let at = 0; at < bytes.length; at += size) {
      for (const { message } of lines.push(bytes.subarray(at, at + size))) messages.push(message);
    }
    assert.deepEqual(messages, [{ QMP: {} }, { return: "ä" }, { event: "STOP" }]);
  }
});

test("a line without end is refused before it fills memory", () => {
  const lines = new QmpLines();
  const chunk = Buffer.alloc(65_536, 0x20);
  assert.throws(
    () => {
      for (let sent = 0; sent <= maximumLineBytes; sent += chunk.length) assert.deepEqual([...lines.push(chunk)], []);
    },
    { code: "internal" },
  );
});

test("what is no JSON object is refused", () => {
  for (const line of ["nonsense", "[]", "null", "1", '{"a":'])
    assert.throws(() => [...new QmpLines().push(Buffer.from(`${line}\n`))], { code: "internal" });
});

/** What a taken-over monitor may send: the same messages however it is cut, or the one error. */
import assert from "node:assert/strict";
import { CaissonError } from "@caisson/protocol";
import { asBytes, fuzz, mutatedBytes, splits } from "@caisson/testing/fuzz";
import { QmpLines, type QmpMessage } from "./qmp-lines.ts";

function read(pieces: readonly Buffer[]): { messages: QmpMessage[]; refused: boolean } {
  const lines = new QmpLines();
  const messages: QmpMessage[] = [];
  try {
    for (const piece of pieces) for (const { message } of lines.push(piece)) messages.push(message);
    return { messages, refused: false };
  } catch (error) {
    assert.ok(error instanceof CaissonError && error.code === "internal", String(error));
    return { messages, refused: true };
  }
}

fuzz({
  name: "qmp-lines",
  directory: import.meta.dirname,
  codec: asBytes,
  input: (seeds) => mutatedBytes(seeds),
  check(bytes) {
    const [whole, ...others] = splits(bytes).map(read);
    for (const other of others) {
      assert.equal(other.refused, whole!.refused);
      // A message before the faulty one may already have been handed on.
      if (!other.refused) assert.deepEqual(other.messages, whole!.messages);
    }
    for (const message of whole!.messages) assert.ok(typeof message === "object" && !Array.isArray(message));
  },
});

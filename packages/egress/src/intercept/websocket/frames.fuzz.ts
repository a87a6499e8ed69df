/** WebSocket frames of either side: the same however they are cut, and written anew they say the same. */
import assert from "node:assert/strict";
import { asBytes, fuzz, mutatedBytes, splits } from "@caisson/testing/fuzz";
import fc from "fast-check";
import { FrameError, FrameReader, writeFrame, type FramePart } from "./frames.ts";

interface Reading {
  /** One line for each message and control frame. */
  readonly said: readonly string[];
  readonly refused: boolean;
}

function read(pieces: readonly Buffer[], masked: boolean): Reading {
  const reader = new FrameReader(masked);
  const said: string[] = [];
  let message: Buffer[] = [];
  const take = (part: FramePart) => {
    if (part.kind === "control") {
      assert.ok(part.payload.length <= 125);
      said.push(`control ${part.opcode} ${part.payload.toString("hex")} after ${Buffer.concat(message).length}`);
      return;
    }
    if (part.first) message = [];
    message.push(part.payload);
    if (part.last) said.push(`message ${part.opcode} ${Buffer.concat(message).toString("hex")}`);
    if (part.last) message = [];
  };
  try {
    for (const piece of pieces) reader.push(piece).forEach(take);
    said.push(`rest ${Buffer.concat(message).toString("hex")}`);
    return { said, refused: false };
  } catch (error) {
    assert.ok(error instanceof FrameError, String((error as Error).stack));
    return { said, refused: true };
  }
}

const frame = fc
  .record({
    opcode: fc.oneof(fc.constantFrom(0, 1, 2, 8, 9, 10), fc.nat({ max: 15 })),
    fin: fc.boolean(),
    size: fc.oneof(fc.nat({ max: 10 }), fc.constantFrom(125, 126, 127, 65_535, 65_536)),
    masked: fc.constantFrom(true, true, true, false),
  })
  .map(({ opcode, fin, size, masked }) =>
    Buffer.concat(writeFrame({ opcode, fin, payload: Buffer.alloc(size, 0x61) }, masked)),
  );

fuzz({
  name: "websocket-frames",
  directory: import.meta.dirname,
  codec: asBytes,
  input: (seeds) =>
    mutatedBytes(
      seeds,
      fc.array(frame, { minLength: 1, maxLength: 5 }).map((frames) => Buffer.concat(frames)),
    ),
  check(bytes) {
    for (const masked of [true, false]) {
      const [whole, ...others] = splits(bytes).map((pieces) => read(pieces, masked));
      for (const other of others) {
        assert.equal(other.refused, whole!.refused);
        if (!other.refused) assert.deepEqual(other.said, whole!.said);
      }
    }
  },
});

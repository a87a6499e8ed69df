/** The beginning of a connection: one verdict, which more bytes do not change, and never an exception. */
import assert from "node:assert/strict";
import { asBytes, fuzz, mutatedBytes } from "@caisson/testing/fuzz";
import fc from "fast-check";
import { maxSniff, sniff } from "./first-bytes.ts";

const vector = (size: number, body: Buffer, lie: number) => {
  const length = Buffer.alloc(size);
  length.writeUIntBE(Math.max(0, Math.min(256 ** size - 1, body.length + lie)), 0, size);
  return Buffer.concat([length, body]);
};
const lie = fc.oneof(
  { weight: 12, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: -5, max: 70_000 }) },
);
const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const name = fc
  .oneof(
    fc.constantFrom("api.test", "API.test.", "a\0b", "", "127.0.0.1", "[::1]", "é.test"),
    fc.string({ maxLength: 30 }),
  )
  .map((text) => Buffer.from(text));
const serverName = fc
  .tuple(fc.array(fc.tuple(fc.constantFrom(0, 0, 0, 1), name, lie), { minLength: 1, maxLength: 2 }), lie)
  .map(([names, outer]) =>
    vector(
      2,
      Buffer.concat(names.map(([kind, text, inner]) => Buffer.concat([Buffer.from([kind]), vector(2, text, inner)]))),
      outer,
    ),
  );
const alpn = fc
  .tuple(fc.array(fc.tuple(fc.constantFrom("h2", "http/1.1", "", "\xff"), lie), { maxLength: 3 }), lie)
  .map(([names, outer]) =>
    vector(2, Buffer.concat(names.map(([text, inner]) => vector(1, Buffer.from(text, "latin1"), inner))), outer),
  );
const extension = fc
  .oneof(
    fc.tuple(fc.constant(0), serverName),
    fc.tuple(fc.constant(16), alpn),
    fc.tuple(fc.constantFrom(0xfe0d, 0xffce, 43, 51, 21, 0, 16), bytes(40)),
  )
  .chain(([type, body]) =>
    lie.map((wrong) => Buffer.concat([Buffer.from([type >> 8, type & 255]), vector(2, body, wrong)])),
  );
/** RFC 8446 4.1.2, cut into records. */
const hello = fc
  .record({
    session: bytes(32),
    extensions: fc.array(extension, { maxLength: 5 }),
    lies: fc.tuple(lie, lie, lie, lie, lie),
    record: fc.integer({ min: 1, max: 600 }),
    type: fc.constantFrom(1, 1, 1, 1, 2),
  })
  .map(({ session, extensions, lies, record, type }) => {
    const body = Buffer.concat([
      Buffer.from([3, 3]),
      Buffer.alloc(32, 7),
      vector(1, session, lies[0]),
      vector(2, Buffer.from([0x13, 1]), lies[1]),
      vector(1, Buffer.from([0]), lies[2]),
      vector(2, Buffer.concat(extensions), lies[3]),
    ]);
    const message = Buffer.concat([Buffer.from([type]), vector(3, body, lies[4])]);
    const records: Buffer[] = [];
    for (let at = 0; at < message.length; at += record)
      records.push(Buffer.from([22, 3, 1]), vector(2, message.subarray(at, at + record), 0));
    return Buffer.concat(records);
  });

fuzz({
  name: "first-bytes",
  directory: import.meta.dirname,
  codec: asBytes,
  input: (seeds) => mutatedBytes(seeds, hello),
  check(data) {
    const whole = sniff(data);
    if (data.length > maxSniff + 16) assert.notEqual(whole.kind, "more");
    // Verdicts are made as bytes come in: fifty beginnings are asked.
    let settled: ReturnType<typeof sniff> | undefined;
    const step = Math.max(1, Math.floor(data.length / 50));
    for (let length = 0; length <= data.length; length += step) {
      const verdict = sniff(data.subarray(0, length));
      if (settled !== undefined && settled.kind === "tls") assert.deepEqual(verdict, settled);
      if (verdict.kind !== "more") settled ??= verdict;
    }
    if (whole.kind === "tls" && whole.clientHello.serverName !== undefined)
      assert.match(whole.clientHello.serverName, /^[\x21-\x7e]+$/);
  },
});

/** Bytes made from other bytes, and ways to cut them. */
import { crc32 } from "node:zlib";
import fc from "fast-check";

/** Lengths and numbers at which parsers change their minds. */
const edges = [
  "00",
  "ff",
  "7f",
  "80",
  "0000",
  "ffff",
  "7fff",
  "8000",
  "ffffff",
  "ffffffff",
  "7fffffff",
  "0d0a",
  "0d0a0d0a",
  "0a",
  "20",
  "2c",
  "3a",
];
const edge = fc.constantFrom(...edges.map((hex) => Buffer.from(hex, "hex")));
const some = fc.oneof(
  edge,
  fc.uint8Array({ minLength: 1, maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
);
const place = fc.nat({ max: 2 ** 20 });

interface Change {
  readonly kind: "set" | "insert" | "remove" | "repeat" | "cut" | "flip";
  readonly at: number;
  readonly length: number;
  readonly bytes: Buffer;
}

const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom("set", "insert", "remove", "repeat", "cut", "flip"),
  at: place,
  length: fc.integer({ min: 1, max: 64 }),
  bytes: some,
});

function apply(data: Buffer, { kind, at, length, bytes }: Change): Buffer {
  const from = data.length === 0 ? 0 : at % (data.length + 1);
  const [before, after] = [data.subarray(0, from), data.subarray(from)];
  switch (kind) {
    case "set":
      return Buffer.concat([before, bytes, after.subarray(bytes.length)]);
    case "insert":
      return Buffer.concat([before, bytes, after]);
    case "remove":
      return Buffer.concat([before, after.subarray(length)]);
    case "repeat":
      return Buffer.concat([before, ...Array.from({ length }, () => after.subarray(0, bytes.length * 4)), after]);
    case "cut":
      return before;
    default: {
      const copy = Buffer.from(data);
      if (from < copy.length) copy[from] = copy[from]! ^ (1 << (length & 7));
      return copy;
    }
  }
}

/** Seeds with a few changes, two of them joined, or bytes from nothing. `more`: what knows the format. */
export function mutatedBytes(seeds: readonly Buffer[], ...more: fc.Arbitrary<Buffer>[]): fc.Arbitrary<Buffer> {
  const base = fc.oneof(...(seeds.length > 0 ? [fc.constantFrom(...seeds)] : []), ...more);
  const changed = fc
    .tuple(base, fc.array(change, { maxLength: 6 }))
    .map(([data, changes]) => changes.reduce(apply, data));
  return fc.oneof(
    { weight: 6, arbitrary: changed },
    { weight: 1, arbitrary: fc.tuple(changed, changed).map((two) => Buffer.concat(two)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  );
}

/** The bytes whole, in single ones when they are few, and cut at places that follow from them, so that an input says it all. */
export function splits(data: Buffer): Buffer[][] {
  const ways: Buffer[][] = [[data]];
  if (data.length <= 256) ways.push([...data].map((byte) => Buffer.from([byte])));
  for (const most of [7, 61, 4096]) if (most < data.length) ways.push(cut(data, most, crc32(data)));
  return ways;
}

/** Pieces of 1 to `most` bytes. */
export function cut(data: Buffer, most: number, start: number): Buffer[] {
  const pieces: Buffer[] = [];
  let state = start;
  for (let at = 0; at < data.length;) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const size = 1 + ((state >>> 8) % most);
    pieces.push(Buffer.from(data.subarray(at, at + size)));
    at += size;
  }
  return pieces;
}

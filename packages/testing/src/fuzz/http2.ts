/** HTTP/2 as bytes (RFC 9113, RFC 7541), right and wrong. */
import fc from "fast-check";

export const http2Preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
export const frameType = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goAway: 7,
  window: 8,
  continuation: 9,
} as const;
export const frameFlag = { endStream: 1, acknowledge: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const;

/** RFC 9113 4.1: length, type, flags, stream. `length`: what the header claims, if not the truth. */
export function http2Frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer,
  length = payload.length,
): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(length & 0xffffff, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([header, payload]);
}

/** What a client says before its first request: the preface, settings, and that it took those of the server (RFC 9113 3.4). */
export const http2Beginning = Buffer.concat([
  http2Preface,
  http2Frame(frameType.settings, 0, 0, Buffer.alloc(0)),
  http2Frame(frameType.settings, frameFlag.acknowledge, 0, Buffer.alloc(0)),
]);

/** RFC 7541 6.2.2: literal fields without indexing and without Huffman coding. */
export function headerBlock(fields: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string) => {
    const bytes = Buffer.from(value, "latin1");
    const length: number[] = [];
    if (bytes.length < 127) length.push(bytes.length);
    else {
      length.push(127);
      let rest = bytes.length - 127;
      for (; rest >= 128; rest >>>= 7) length.push((rest & 127) | 128);
      length.push(rest);
    }
    return Buffer.concat([Buffer.from(length), bytes]);
  };
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

const number32 = fc.oneof(fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffffffff), fc.nat({ max: 0xffffffff }));
const wire32 = number32.map((value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
});
const setting = fc
  .tuple(fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 8, 9, 0xff), wire32)
  .map(([id, value]) => Buffer.concat([Buffer.from([0, id]), value]));

/**
 * Sequences of frames.
 * @param fields headers that the reader may take seriously
 * @param bodies payloads of DATA
 */
export function http2Frames(
  fields: fc.Arbitrary<readonly (readonly [string, string])[]>,
  bodies: fc.Arbitrary<Buffer>,
): fc.Arbitrary<Buffer> {
  const stream = fc.oneof(
    { weight: 6, arbitrary: fc.constant(1) },
    { weight: 2, arbitrary: fc.constantFrom(0, 2, 3, 5) },
    { weight: 1, arbitrary: number32 },
  );
  const flags = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(0, 1, 4, 5) },
    { weight: 1, arbitrary: fc.nat({ max: 255 }) },
  );
  const payload = (type: number): fc.Arbitrary<Buffer> => {
    if (type === frameType.data) return bodies;
    if (type === frameType.headers || type === frameType.continuation) return fields.map(headerBlock);
    if (type === frameType.push) return fc.tuple(wire32, fields.map(headerBlock)).map((parts) => Buffer.concat(parts));
    if (type === frameType.settings) return fc.array(setting, { maxLength: 8 }).map((parts) => Buffer.concat(parts));
    if (type === frameType.goAway) return fc.tuple(wire32, wire32, bodies).map((parts) => Buffer.concat(parts));
    if (type === frameType.ping) return fc.constant(Buffer.alloc(8));
    return fc.oneof({ weight: 5, arbitrary: wire32 }, { weight: 1, arbitrary: bodies });
  };
  const one = fc
    .oneof(
      { weight: 6, arbitrary: fc.constantFrom(1, 0, 0, 3, 4, 6, 7, 8, 9) },
      { weight: 1, arbitrary: fc.nat({ max: 255 }) },
    )
    .chain((type) => fc.tuple(fc.constant(type), flags, stream, payload(type), fc.integer({ min: -8, max: 40 })))
    .map(([type, flag, id, body, lie]) =>
      http2Frame(type, flag, id, body, Math.max(0, body.length + Math.max(0, lie - 36))),
    );
  return fc.array(one, { minLength: 1, maxLength: 12 }).map((frames) => Buffer.concat(frames));
}

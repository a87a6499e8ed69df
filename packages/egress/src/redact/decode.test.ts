/** Coded bodies come out whole or not at all, however they are put together and cut. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { createDecoder } from "./decode.ts";

const coders: Record<string, (data: Buffer) => Buffer> = {
  gzip: gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
};

/** @throws what the decoder fails with */
function decode(codings: readonly string[], sent: Buffer, size = Math.max(1, sent.length)): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    const { input, output } = createDecoder(codings, reject);
    output.on("data", (piece: Buffer) => pieces.push(piece));
    output.on("end", () => resolve(Buffer.concat(pieces)));
    for (let at = 0; at < sent.length; at += size) input.write(sent.subarray(at, at + size));
    input.end();
  });
}

const [first, second] = [Buffer.from("the first part, "), randomBytes(20_000)];
const whole = Buffer.concat([first, second]);

for (const coding of ["gzip", "zstd"]) {
  test(`several streams of ${coding} are one body, wherever they are cut`, async () => {
    const code = coders[coding]!;
    const sent = Buffer.concat([code(first), code(Buffer.alloc(0)), code(second)]);
    for (const size of [sent.length, 1, 7, code(first).length, 4096])
      assert.ok((await decode([coding], sent, size)).equals(whole), `pieces of ${size}`);
  });
}

for (const [coding, code] of Object.entries(coders)) {
  test(`${coding}: nothing is empty, and what breaks off or goes on fails`, async () => {
    assert.equal((await decode([coding], Buffer.alloc(0))).length, 0);
    assert.equal((await decode([coding, coding], Buffer.alloc(0))).length, 0);
    const sent = code(second);
    for (const size of [sent.length, 1000]) {
      assert.ok((await decode([coding], sent, size)).equals(second));
      await assert.rejects(decode([coding], sent.subarray(0, -3), size), "cut off");
      await assert.rejects(decode([coding], Buffer.concat([sent, Buffer.from("more")]), size), "garbage");
      await assert.rejects(
        decode([coding], Buffer.concat([sent, Buffer.from("\0more")]), size),
        "garbage after a zero",
      );
    }
    await assert.rejects(
      decode([coding], Buffer.concat([sent, Buffer.from("more")]), sent.length),
      "garbage by itself",
    );
  });
}

test("deflate without zlib's header, as some hosts send it, is read as well, and fails like the other", async () => {
  for (const level of [0, 1, 9]) {
    const sent = deflateRawSync(whole, { level });
    for (const size of [sent.length, 1000, 1]) assert.ok((await decode(["deflate"], sent, size)).equals(whole));
    await assert.rejects(decode(["deflate"], sent.subarray(0, -3)), "cut off");
    await assert.rejects(decode(["deflate"], Buffer.concat([sent, sent])), "garbage");
  }
});

for (const coding of ["deflate", "br"]) {
  test(`a second stream of ${coding} fails, as it belongs to no body`, async () => {
    const code = coders[coding]!;
    await assert.rejects(decode([coding], Buffer.concat([code(first), code(second)])));
  });
}

test("layers are taken off one by one, each whole", async () => {
  const inner = Buffer.concat([gzipSync(first), gzipSync(second)]);
  assert.ok((await decode(["gzip", "br"], brotliCompressSync(inner), 1000)).equals(whole));
  const garbage = brotliCompressSync(Buffer.concat([deflateSync(first), first]));
  await assert.rejects(decode(["deflate", "br"], garbage));
});

test("a body that unpacks to much is not unpacked ahead of its reader", async () => {
  const { input, output } = createDecoder(["gzip"], assert.fail);
  const size = 32 * 2 ** 20;
  input.end(gzipSync(Buffer.alloc(size)));
  output.once("data", () => output.pause());
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.ok(output.readableLength < 2 ** 20, `${output.readableLength} bytes wait`);
  let bytes = 0;
  output.on("data", (piece: Buffer) => (bytes += piece.length)).resume();
  await new Promise((resolve) => output.once("end", resolve));
  assert.ok(bytes > size - 2 ** 20 && bytes < size, `${bytes}`);
});

/** The streaming search finds what a search of the whole finds, however the bytes are split. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { Matcher } from "./matcher.ts";
import { createRedactor } from "./redactor.ts";
import { StreamRewriter, rewriteAll } from "./stream-rewriter.ts";

let seed = 1;
const random = (below: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;

function split(data: Buffer, most: number): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < data.length;) {
    const size = 1 + random(most);
    chunks.push(data.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

function naive(needles: string[], text: string): string {
  let out = "";
  for (let at = 0; at < text.length;) {
    const hit = needles.filter((needle) => text.startsWith(needle, at)).toSorted((a, b) => b.length - a.length)[0];
    out += hit === undefined ? text[at] : `<${hit.length}>`;
    at += hit?.length ?? 1;
  }
  return out;
}

test("random splits give the same as a naive search of the whole", () => {
  for (let round = 0; round < 4_000; round++) {
    const alphabet = "ab".slice(0, 1 + random(2)) + "c";
    const word = (length: number): string => Array.from({ length }, () => alphabet[random(alphabet.length)]).join("");
    const needles = Array.from({ length: 1 + random(4) }, () => word(2 + random(6)));
    const text = word(random(60));
    const matcher = new Matcher(needles.map((needle) => ({ bytes: Buffer.from(needle), tag: needle })));
    const rewriter = new StreamRewriter(matcher, (needle) => Buffer.from(`<${needle.bytes.length}>`));
    const pieces = split(Buffer.from(text), 9).flatMap((chunk) => rewriter.push(chunk));
    const result = Buffer.concat([...pieces, ...rewriter.end()]).toString();
    assert.equal(result, naive(needles, text), JSON.stringify({ needles, text }));
    assert.equal(
      rewriteAll(matcher, (needle) => Buffer.from(`<${needle.bytes.length}>`), Buffer.from(text)).toString(),
      result,
    );
  }
});

test("what is held back is never more than the longest needle, and nothing of a needle gets out before it is whole", () => {
  const secret = "sk-0123456789abcdef";
  const redactor = createRedactor([{ value: secret, placeholder: "PLACEHOLDER-PLACEHOLDER" }]);
  const rewriter = redactor.stream();
  let out = "";
  for (const byte of Buffer.from(`x${secret}y`)) {
    out += Buffer.concat(rewriter.push(Buffer.from([byte]))).toString();
    assert.ok(!/sk/.test(out), out);
  }
  out += Buffer.concat(rewriter.end()).toString();
  assert.equal(out, "xPLACEHOLDER-PLACEHOLDERy");
});

test("a pause lets the first letters go, and what follows is redacted all the same", () => {
  const redactor = createRedactor([{ value: "sk-0123456789abcdef", placeholder: "PLACEHOLDER-PLACEHOLDER" }]);
  const rewriter = redactor.stream();
  const out: Buffer[] = [...rewriter.push(Buffer.from("end with s"))];
  assert.equal(Buffer.concat(out).toString(), "end with ");
  assert.ok(rewriter.waits);
  out.push(...rewriter.idle());
  assert.equal(Buffer.concat(out).toString(), "end with s");
  assert.ok(!rewriter.waits);
  out.push(...rewriter.push(Buffer.from("k-01234")));
  assert.ok(!rewriter.waits, "more than a few letters wait for the rest");
  assert.deepEqual(rewriter.idle(), []);
  out.push(...rewriter.push(Buffer.from("56789abcdef.")), ...rewriter.end());
  assert.equal(Buffer.concat(out).toString(), "end with sPLACEHOLDER-PLACEHOLDER.");
});

test("64 MiB of random bytes come through unchanged and quickly", () => {
  const redactor = createRedactor(
    Array.from({ length: 10 }, () => ({
      value: randomBytes(30).toString("base64url"),
      placeholder: randomBytes(20).toString("hex"),
    })),
  );
  const rewriter = redactor.stream();
  const block = randomBytes(2 ** 20);
  const began = performance.now();
  for (let count = 0; count < 64; count++) {
    // A different beginning each time, so that chunk borders fall everywhere.
    const data = Buffer.concat([block.subarray(count * 1009), block.subarray(0, count * 1009)]);
    let at = 0;
    const compare = (pieces: Buffer[]): void => {
      for (const piece of pieces) at += piece.length;
    };
    const pieces = split(data, 65536).flatMap((chunk) => rewriter.push(chunk));
    compare(pieces);
    compare(rewriter.end());
    assert.equal(at, data.length);
    if (count % 16 === 0) {
      const again = createRedactorStream(redactor, data);
      assert.ok(again.equals(data));
    }
  }
  assert.ok(performance.now() - began < 10_000);
});

function createRedactorStream(redactor: ReturnType<typeof createRedactor>, data: Buffer): Buffer {
  const rewriter = redactor.stream();
  return Buffer.concat([...split(data, 30_000).flatMap((chunk) => rewriter.push(chunk)), ...rewriter.end()]);
}

/** The streaming search finds what a search of the whole finds, however the bytes are split. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { holdUnfinished, holdToken } from "./holding.ts";
import { Matcher } from "./matcher.ts";
import type { Needle } from "./needle.ts";
import { createRedactor, type StreamKind } from "./redactor.ts";
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
    const replace = (needle: Needle<string>): Buffer => Buffer.from(`<${needle.bytes.length}>`);
    const result = naive(needles, text);
    for (const holding of [holdUnfinished(matcher), holdToken([], 8)]) {
      const rewriter = new StreamRewriter(matcher, replace, holding);
      const pieces = split(Buffer.from(text), 9).flatMap((chunk) => rewriter.push(chunk));
      const got = Buffer.concat([...pieces, ...rewriter.end()]).toString();
      assert.equal(got, result, JSON.stringify({ needles, text }));
    }
    assert.equal(rewriteAll(matcher, replace, Buffer.from(text)).toString(), result);
  }
});

test("what is held back is never more than the longest needle, and nothing of a needle gets out before it is whole", () => {
  const secret = "sk-0123456789abcdef";
  const redactor = createRedactor([{ value: secret, placeholder: "PLACEHOLDER-PLACEHOLDER" }]);
  const rewriter = redactor.stream("text");
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
  const rewriter = redactor.stream("text");
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
  const rewriter = redactor.stream("text");
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
  assert.ok(performance.now() - began < 40_000);
});

function createRedactorStream(redactor: ReturnType<typeof createRedactor>, data: Buffer): Buffer {
  const rewriter = redactor.stream("text");
  return Buffer.concat([...split(data, 30_000).flatMap((chunk) => rewriter.push(chunk)), ...rewriter.end()]);
}

test("long words are let go but for their ends, with the same result", () => {
  for (let round = 0; round < 300; round++) {
    const word = (length: number): string => Array.from({ length }, () => "ab"[random(2)]).join("");
    const needles = Array.from({ length: 1 + random(4) }, () => word(8 + random(12)));
    const text = [word(random(3000)), word(random(600)), word(random(3000))].join(" ");
    const matcher = new Matcher(needles.map((needle) => ({ bytes: Buffer.from(needle), tag: needle })));
    const rewriter = new StreamRewriter(
      matcher,
      (needle) => Buffer.from(`<${needle.bytes.length}>`),
      holdToken([], matcher.longest),
    );
    const pieces: Buffer[] = [];
    let sent = 0;
    let got = 0;
    for (const chunk of split(Buffer.from(text), [9, 700, 4000][round % 3]!)) {
      const out = rewriter.push(chunk);
      sent += chunk.length;
      // Replacements are shorter than needles of these lengths, by less than two thirds.
      for (const piece of out) got += piece.length;
      assert.ok(sent - got < 1024 + chunk.length + (sent * 2) / 3);
      pieces.push(...out);
    }
    assert.equal(Buffer.concat([...pieces, ...rewriter.end()]).toString(), naive(needles, text));
  }
});

test("what waits does not depend on the value: an echo tells nothing about its next letter", () => {
  const value = "sk-live-0123456789abcdef";
  const after = (secret: string, tail: string, kind: StreamKind): unknown[] => {
    const rewriter = createRedactor([{ value: secret, placeholder: "PLACEHOLDER-PLACEHOLDER" }]).stream(kind);
    const before = Buffer.concat(rewriter.push(Buffer.from(`some words ${tail}`)));
    return [before, rewriter.waits, rewriter.idle()];
  };
  for (const kind of ["text", "messages", "unknown"] as const)
    for (const length of [1, 3, 4, 8, 15, value.length - 1])
      assert.deepEqual(
        after(value, value.slice(0, length), kind),
        after("quite-another-value-of-it", value.slice(0, length), kind),
        `${kind}, ${length} letters`,
      );
});

test("where the other side may be waiting, a pause lets all go: whole values unreadable, and the rest of one that has begun", () => {
  const value = "sk-0123456789abcdef";
  const rewriter = createRedactor([{ value, placeholder: "PLACEHOLDER-PLACEHOLDER" }]).stream("unknown");
  const said = (text: string): string =>
    Buffer.concat([...rewriter.push(Buffer.from(text)), ...rewriter.idle()]).toString();
  assert.equal(said(`first ${value}`), "first PLACEHOLDER-PLACEHO");
  assert.deepEqual(["sk-0123", "4567", "89abcdef!", "?"].map(said), ["sk-0123", "4567", "-PLACEHO!", "?"]);
});

test("a value that repeats itself, and data that repeat its beginning, cost no more than others", () => {
  const value = `${"a".repeat(8000)}b`;
  const redactor = createRedactor([{ value, placeholder: "PLACEHOLDER-PLACEHOLDER" }]);
  const began = performance.now();
  const block = Buffer.alloc(2 ** 20, "a");
  assert.ok(redactor.bytes(block) === block);
  const rewriter = redactor.stream("text");
  for (let at = 0; at < 20_000; at++) rewriter.push(block.subarray(at, at + 1));
  assert.ok(!Buffer.concat([...rewriter.push(Buffer.from(value)), ...rewriter.end()]).includes("b"));
  assert.ok(performance.now() - began < 3_000, `${performance.now() - began} ms`);
});

test("messages with their lengths go on when they are whole and their sender pauses, whatever they end in", () => {
  const value = "sk-0123456789abcdef";
  const redactor = createRedactor([{ value, placeholder: "PLACEHOLDER-PLACEHOLDER" }]);
  const rewriter = redactor.stream("messages");
  const message = (text: string): Buffer => {
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(text.length, 1);
    return Buffer.concat([prefix, Buffer.from(text)]);
  };
  for (const text of ["hello", "", "sk-01234", `has ${value} in it`, value, "x".repeat(3000)]) {
    const expected = message(text.replace(value, "PLACEHOLDER-PLACEHO"));
    const pieces = split(message(text), 1 + random(8)).flatMap((chunk, index, all) => {
      const now = rewriter.push(chunk);
      // Nothing goes on in the middle of a message because its sender pauses.
      return index < all.length - 1 ? [...now, ...rewriter.idle()] : now;
    });
    assert.deepEqual(Buffer.concat([...pieces, ...rewriter.idle()]), expected);
  }
  const many = Buffer.concat(["a", value, "b"].map(message));
  assert.equal(Buffer.concat([...rewriter.push(many), ...rewriter.idle()]).length, many.length);
  assert.deepEqual(rewriter.end(), []);
  // A guest that has a value stored chooses where it is cut.
  const stored = redactor.stream("messages");
  const seen = [
    ...stored.push(Buffer.concat([Buffer.from([0, 0, 0, 0, 4]), Buffer.from(`${value}!`)])),
    ...stored.end(),
  ];
  assert.equal(Buffer.concat(seen).toString(), "\0\0\0\0\x04PLACEHOLDER-PLACEHO!");
});

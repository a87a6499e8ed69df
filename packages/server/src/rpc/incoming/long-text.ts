/**
 * A long text inside a client's frame, as the bytes between its quotes. It is never a JavaScript string as a whole: that would be one
 * more copy of up to a hundred megabytes, made while nobody else is served.
 */
import { typeError } from "../errors.ts";

/** Bytes of JSON that are decoded at a time. A multiple of four, for base64. */
const pieceBytes = 64 * 1024;

const quote = 0x22;
const backslash = 0x5c;

export class LongText {
  readonly #json: Buffer;

  /** @param json valid UTF-8 that holds no quote without a backslash */
  constructor(json: Buffer) {
    this.#json = json;
  }

  /** Bytes of JSON: an upper bound of the bytes of what it stands for. */
  get length(): number {
    return this.#json.length;
  }

  /** The bytes of base64, in pieces. @throws OperationFailure when it is not plain base64 */
  *base64(): Generator<Buffer> {
    for (let from = 0; from < this.#json.length; from += pieceBytes) {
      const piece = this.#json.subarray(from, from + pieceBytes);
      const text = piece.toString("latin1");
      const last = from + piece.length >= this.#json.length;
      if (!(last ? /^[\w+/-]*={0,2}$/ : /^[\w+/-]*$/).test(text)) throw typeError("The content is not valid base64.");
      yield Buffer.from(text, "base64");
    }
  }

  /** The UTF-8 bytes of the text, in pieces. @throws OperationFailure when it has invalid escapes */
  *utf8(): Generator<Buffer> {
    for (const text of this.texts()) yield Buffer.from(text, "utf8");
  }

  /** The text in pieces. A piece never ends inside a character or an escape. */
  *texts(): Generator<string> {
    for (let from = 0; from < this.#json.length;) {
      const end = boundary(this.#json, from, Math.min(from + pieceBytes, this.#json.length));
      yield decode(this.#json.subarray(from, end));
      from = end;
    }
  }
}

function decode(piece: Buffer): string {
  try {
    return JSON.parse(`"${piece.toString("utf8")}"`) as string;
  } catch {
    throw typeError("The content is not a valid JSON string.");
  }
}

/** @returns the last place at or before `end` where `json` can be cut */
function boundary(json: Buffer, from: number, end: number): number {
  if (end === json.length) return end;
  let cut = end;
  // Inside a character of several bytes.
  while (cut > from && (json[cut]! & 0xc0) === 0x80) cut--;
  // Inside an escape: `\n`, `\u1234`, or the pair of two `\u` that make one character. None is longer than twelve bytes.
  for (let at = Math.max(from, cut - 12); at < cut; at++) {
    if (json[at] !== backslash || !startsEscape(json, from, at)) continue;
    if (at + escapeLength(json, at) > cut) return at;
  }
  return cut;
}

/** Whether the backslash at `at` begins an escape: an even number of backslashes comes before it. */
function startsEscape(json: Buffer, from: number, at: number): boolean {
  let before = at;
  while (before > from && json[before - 1] === backslash) before--;
  return (at - before) % 2 === 0;
}

function escapeLength(json: Buffer, at: number): number {
  if (json[at + 1] !== 0x75) return 2;
  const unit = Number.parseInt(json.toString("latin1", at + 2, at + 6), 16);
  const leads = unit >= 0xd800 && unit < 0xdc00 && json[at + 6] === backslash && json[at + 7] === 0x75;
  return leads ? 12 : 6;
}

/** Bytes that are searched one by one before others may have their turn. */
const searchedBytes = 2 ** 20;

/**
 * The end of a JSON string.
 * @param start the first byte after its opening quote
 * @returns the place of its closing quote; -1 when there is none
 */
export function endOfString(json: Buffer, start: number): number {
  const near = nearEnd(json, start);
  return near >= 0 ? near : finish(farEnd(json, -near));
}

/** Takes all steps at once. */
export function finish<T>(steps: Generator<undefined, T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/**
 * Most texts are short, and a call of `indexOf` costs more than these.
 * @param start above 0
 * @returns the end; negative: where `farEnd` goes on
 */
export function nearEnd(json: Buffer, start: number): number {
  const near = Math.min(start + 24, json.length);
  let at = start;
  while (at < near) {
    const byte = json[at];
    if (byte === quote) return at;
    at += byte === backslash ? 2 : 1;
  }
  return -at;
}

/** The same for a long text, in steps that take a millisecond each. */
export function* farEnd(json: Buffer, start: number): Generator<undefined, number> {
  // Most long texts are base64 without any escape, and `indexOf` looks at many bytes at a time. But where quotes are dense, it is slow.
  for (let from = start, tries = 0; tries < 100; tries++) {
    const end = json.indexOf(quote, from);
    if (end === -1 || json[end - 1] !== backslash || end === start) return end;
    if (startsEscape(json, start, end - 1)) from = end + 1;
    else return end;
    start = from;
  }
  for (let at = start; at < json.length; yield undefined) {
    for (const end = Math.min(at + searchedBytes, json.length); at < end; at++) {
      if (json[at] === quote) return at;
      if (json[at] === backslash) at++;
    }
  }
  return -1;
}

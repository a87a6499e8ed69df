/** From the bytes of a client's frame to a value, with bounds on what the value can cost. */
import { randomUUID } from "node:crypto";
import type { RequestId } from "@caisson/api";
import { endOfString, LongText } from "./long-text.ts";

/** Frames up to this size are parsed as they are, bytes. */
const smallFrame = 256 * 1024;
/** A text is cut out of its frame from this size on, bytes. */
const longText = 64 * 1024;
/** What remains of a frame without its longest text, bytes. Parsed JSON takes up to thirty times the memory of its text. */
const maxRest = 2 ** 20;
/** The same for a call of a REPL's function: its arguments are any JSON, and nothing looks at each of them. */
const maxReplRest = 4 * 2 ** 20;

/** Stands for the long text while the rest is parsed and checked. Nobody outside can know it. */
const placeholder = `long-text-${randomUUID()}`;

export interface ParsedFrame {
  readonly value: unknown;
  /** A `content`, `data` or `code` that was too long to be parsed with the rest. */
  readonly long: LongText | undefined;
}

export class FrameTooLarge extends Error {
  override readonly name = "FrameTooLarge";
  /** Of the request, where it could be found. */
  readonly id: RequestId | undefined;

  constructor(limit: number, id: RequestId | undefined) {
    super(
      `The parameters have more than ${limit} bytes, the limit. Only the content of a file can have more. Write large values to a file or a stream.`,
    );
    this.id = id;
  }
}

/**
 * @throws SyntaxError when it is not JSON
 * @throws FrameTooLarge
 */
export function parseFrame(frame: Buffer): ParsedFrame {
  if (frame.length <= smallFrame) return { value: JSON.parse(frame.toString("utf8")), long: undefined };
  const head = frame.toString("latin1", 0, 1024);
  const limit = /"method"\s*:\s*"denoReplCall"/.test(head) ? maxReplRest : maxRest;
  const cut = findLongest(frame, limit);
  if (cut === undefined) {
    if (frame.length > limit) throw new FrameTooLarge(limit, findId(head, frame));
    return { value: JSON.parse(frame.toString("utf8")), long: undefined };
  }
  const rest = frame.length - (cut.end - cut.start);
  if (rest > limit) throw new FrameTooLarge(limit, findId(head, frame));
  const text = `${frame.toString("utf8", 0, cut.start)}${placeholder}${frame.toString("utf8", cut.end)}`;
  return { value: JSON.parse(text), long: new LongText(frame.subarray(cut.start, cut.end)) };
}

/** Whether a parameter is what stands for the frame's long text. */
export function isLongText(value: unknown): boolean {
  return value === placeholder;
}

/**
 * Parses a line of a guest.
 * @returns undefined when its values would take much memory and time: many small ones, rather than a few long texts
 * @throws SyntaxError when it is not JSON
 */
export function parseLine(line: Buffer): { readonly value: unknown } | undefined {
  if (line.length > maxRest && line.length - longTextsOf(line, maxRest) > maxRest) return undefined;
  return { value: JSON.parse(line.toString("utf8")) };
}

/** Bytes in all long texts. Stops looking when the rest is over the limit anyway. */
function longTextsOf(json: Buffer, limit: number): number {
  let sum = 0;
  for (let at = json.indexOf(quote); at !== -1 && at - sum <= limit; at = json.indexOf(quote, at)) {
    const end = endOfString(json, at + 1);
    if (end === -1) break;
    if (end - at > longText) sum += end - at;
    at = end + 1;
  }
  return sum;
}

interface Cut {
  readonly start: number;
  readonly end: number;
}

const quote = 0x22;

/** The longest text whose key is one of those that may be long. Stops looking when the rest is over the limit anyway. */
function findLongest(frame: Buffer, limit: number): Cut | undefined {
  let longest: Cut | undefined;
  let key: Cut = { start: 0, end: 0 };
  for (let at = frame.indexOf(quote); at !== -1; at = frame.indexOf(quote, at)) {
    const end = endOfString(frame, at + 1);
    if (end === -1) return longest;
    const found = { start: at + 1, end };
    if (end - at > longText && end - at > lengthOf(longest) && mayBeLong(frame, key, at)) longest = found;
    key = found;
    at = end + 1;
    if (at - lengthOf(longest) > limit) return longest;
  }
  return longest;
}

function lengthOf(cut: Cut | undefined): number {
  return cut === undefined ? 0 : cut.end - cut.start;
}

function mayBeLong(frame: Buffer, key: Cut, at: number): boolean {
  if (at - key.end > 16) return false;
  return /^"(?:content|data|code)"\s*:\s*$/.test(frame.toString("latin1", key.start - 1, at));
}

/** The clients write the id before the parameters. One that writes it last ends its frame with it. */
function findId(head: string, frame: Buffer): RequestId | undefined {
  const tail = frame.toString("latin1", Math.max(0, frame.length - 300));
  const found =
    /^\s*\{\s*(?:"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"\s*,\s*)*"id"\s*:\s*(\d{1,15}|"[^"\\]{0,256}")\s*,/.exec(head) ??
    /\}\s*,\s*"id"\s*:\s*(\d{1,15}|"[^"\\]{0,256}")\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$/.exec(tail);
  return found === null ? undefined : (JSON.parse(found[1]!) as RequestId);
}

/** From the bytes of a client's frame to a value, with bounds on what the value can cost. */
import { randomUUID } from "node:crypto";
import type { RequestId } from "@caisson/api";
import type { Turn } from "../../kernel/turns.ts";
import { endOfString, farEnd, finish, LongText, nearEnd } from "./long-text.ts";

/** Frames up to this size are parsed as they are, bytes. */
const smallFrame = 256 * 1024;
/** A text is cut out of its frame from this size on, bytes. */
const longText = 64 * 1024;
/** What remains of a frame without its longest text, bytes. Parsed JSON takes up to thirty times the memory of its text. */
const maxRest = 2 ** 20;
/** The same for a call of a REPL's function: its arguments are any JSON, and nothing looks at each of them. */
const maxReplRest = 4 * 2 ** 20;
/** Frames from this size on are weighed before they are parsed, bytes. */
const weighedFrame = 16 * 1024;
/**
 * What parts of JSON cost to parse and to check, in units of about 20 ns. Keys cost most: each new one makes an object slower. With these
 * limits the worst frame takes some 10 ms of processor time, and one for a REPL some 100 ms.
 */
const weights = { value: 1, text: 2, container: 4, key: 16 } as const;
const maxWeight = 2 ** 18;
const maxReplWeight = 2 ** 22;

/** How long a frame is parsed at a time, milliseconds, also when no other organisation is at work. */
const longestStep = 16;

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

  constructor(what: string, id: RequestId | undefined) {
    super(
      `The parameters have ${what}. Only the content of a file can have more. Write large values to a file or a stream.`,
    );
    this.id = id;
  }
}

/**
 * @throws SyntaxError when it is not JSON
 * @throws FrameTooLarge
 */
export function parseFrame(frame: Buffer): ParsedFrame {
  return finish(parse(frame));
}

/**
 * The same for a frame that takes long, when there is time for it.
 * @throws as `parseFrame`
 */
export async function parseInTurns(frame: Buffer, turn: Turn): Promise<ParsedFrame> {
  const steps = parse(frame);
  for (let since = performance.now(); ;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    if (turn.hasTime() && performance.now() - since < longestStep) continue;
    await new Promise<void>((resolve) => turn.next(resolve));
    await turn.time();
    turn.enter();
    since = performance.now();
  }
}

function* parse(frame: Buffer): Generator<undefined, ParsedFrame> {
  if (frame.length <= weighedFrame) return { value: JSON.parse(frame.toString("utf8")), long: undefined };
  const head = frame.toString("latin1", 0, 1024);
  const repl = /"method"\s*:\s*"denoReplCall"/.test(head);
  const limit = repl ? maxReplRest : maxRest;
  const { longest, heavy } = yield* scan(frame, limit, repl ? maxReplWeight : maxWeight);
  if (heavy) throw new FrameTooLarge("too many values", findId(head, frame));
  const cut = frame.length > smallFrame ? longest : undefined;
  if (frame.length - lengthOf(cut) > limit)
    throw new FrameTooLarge(`more than ${limit} bytes, the limit`, findId(head, frame));
  if (cut === undefined) return { value: JSON.parse(frame.toString("utf8")), long: undefined };
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
  start: number;
  end: number;
}

const quote = 0x22;

interface Scan {
  /** The longest text whose key is one of those that may be long. */
  readonly longest: Cut | undefined;
  /** Whether it costs too much to parse. */
  readonly heavy: boolean;
}

/** With its quotes; of those that may be long, bytes. */
const longestKey = 16;

const comma = 0x2c;
const colon = 0x3a;
const bracket = 0x5b;
const brace = 0x7b;

/** One pass over a frame. Stops when the rest beside the longest text is over a limit anyway. */
function* scan(frame: Buffer, limit: number, heaviest: number): Generator<undefined, Scan> {
  let longest: Cut | undefined;
  let key: Cut = { start: 0, end: 0 };
  let weight = 0;
  for (let at = 0; at < frame.length; at++) {
    const byte = frame[at];
    if (byte === comma) weight += weights.value;
    else if (byte === colon) weight += weights.key;
    else if (byte === bracket || byte === brace) weight += weights.container;
    else if (byte === quote) {
      const near = nearEnd(frame, at + 1);
      const end = near >= 0 ? near : yield* farEnd(frame, -near);
      if (end === -1) break;
      weight += weights.text;
      if (end - at > longText && end - at > lengthOf(longest) && mayBeLong(frame, key, at))
        longest = { start: at + 1, end };
      // Most texts are no keys, and an object for each would cost more than the rest.
      if (end - at <= longestKey) {
        key.start = at + 1;
        key.end = end;
      }
      at = end;
    }
    if (weight > heaviest) return { longest, heavy: true };
    if (at - lengthOf(longest) > limit) break;
  }
  return { longest, heavy: false };
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

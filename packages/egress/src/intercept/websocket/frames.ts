/** WebSocket frames (RFC 6455 5.2), parsed and written as a stream: no message is ever kept whole. */
import { randomBytes } from "node:crypto";

export const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Part of a message (`data`), or a whole control frame. */
export type FramePart =
  | {
      readonly kind: "data";
      readonly opcode: 1 | 2;
      readonly payload: Buffer;
      readonly first: boolean;
      readonly last: boolean;
    }
  | { readonly kind: "control"; readonly opcode: 8 | 9 | 10; readonly payload: Buffer };

export class FrameError extends Error {}

interface Frame {
  readonly fin: boolean;
  readonly opcode: number;
  readonly mask: Buffer | undefined;
  /** Bytes of the payload that are still to come. */
  rest: number;
  /** Bytes of the payload seen, for the mask. */
  seen: number;
}

export class FrameReader {
  readonly #masked: boolean;
  #pending: Buffer = Buffer.alloc(0);
  #frame: Frame | undefined;
  /** The opcode of the message that is under way, and whether a part of it was given out. */
  #message: 1 | 2 | undefined;
  #begun = false;

  /** @param masked whether frames must be masked: those of a client must, those of a server must not be */
  constructor(masked: boolean) {
    this.#masked = masked;
  }

  /** @throws FrameError for anything outside the standard, extensions included */
  push(chunk: Buffer): FramePart[] {
    let data = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const parts: FramePart[] = [];
    for (;;) {
      if (this.#frame === undefined) {
        const size = this.#readHeader(data);
        if (size === 0) break;
        data = data.subarray(size);
      }
      const frame = this.#frame!;
      const whole = data.length >= frame.rest;
      if (frame.opcode >= 8) {
        if (!whole) break;
      } else if (data.length === 0 && frame.rest > 0) break;
      const payload = this.#unmask(data.subarray(0, Math.min(frame.rest, data.length)));
      data = data.subarray(payload.length);
      frame.rest -= payload.length;
      if (frame.opcode >= 8) parts.push({ kind: "control", opcode: frame.opcode as 8, payload });
      else {
        const last = frame.rest === 0 && frame.fin;
        if (payload.length > 0 || last)
          parts.push({ kind: "data", opcode: this.#message!, payload, first: !this.#begun, last });
        this.#begun ||= payload.length > 0;
        if (last) [this.#message, this.#begun] = [undefined, false];
      }
      if (frame.rest === 0) this.#frame = undefined;
    }
    this.#pending = Buffer.from(data);
    return parts;
  }

  /** @returns bytes of the header, 0 when it is not complete */
  #readHeader(data: Buffer): number {
    if (data.length < 2) return 0;
    const [first, second] = [data[0]!, data[1]!];
    if ((first & 0x70) !== 0)
      throw new FrameError("A WebSocket frame has a reserved bit set, but no extension was agreed on.");
    const code = first & 0x0f;
    const fin = (first & 0x80) !== 0;
    const masked = (second & 0x80) !== 0;
    if (masked !== this.#masked)
      throw new FrameError(
        this.#masked ? "A WebSocket frame of the client is not masked." : "A WebSocket frame of the server is masked.",
      );
    let length = second & 0x7f;
    let size = 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + (masked ? 4 : 0);
    if (data.length < size) return 0;
    if (length === 126) length = data.readUInt16BE(2);
    else if (length === 127) {
      const long = data.readBigUInt64BE(2);
      if (long > BigInt(Number.MAX_SAFE_INTEGER)) throw new FrameError("A WebSocket frame is too long.");
      length = Number(long);
    }
    this.#checkOrder(code, fin, length);
    const mask = masked ? Buffer.from(data.subarray(size - 4, size)) : undefined;
    this.#frame = { fin, opcode: code, mask, rest: length, seen: 0 };
    return size;
  }

  #checkOrder(code: number, fin: boolean, length: number): void {
    if (code >= 8) {
      if (code > 10 || !fin || length > 125) throw new FrameError("A WebSocket control frame is not valid.");
    } else if (code === opcode.continuation) {
      if (this.#message === undefined)
        throw new FrameError("A WebSocket continuation frame has no message to continue.");
    } else if (code > 2 || this.#message !== undefined) {
      throw new FrameError("A WebSocket message begins inside another one, or has an unknown opcode.");
    } else this.#message = code as 1 | 2;
  }

  #unmask(payload: Buffer): Buffer {
    const frame = this.#frame!;
    if (frame.mask === undefined) return payload;
    const clear = Buffer.allocUnsafe(payload.length);
    for (let index = 0; index < payload.length; index++)
      clear[index] = payload[index]! ^ frame.mask[(frame.seen + index) & 3]!;
    frame.seen += payload.length;
    return clear;
  }
}

export interface FrameToWrite {
  readonly opcode: number;
  readonly fin: boolean;
  readonly payload: Buffer;
}

/** @param masked whether to mask, as a client has to */
export function writeFrame({ opcode: code, fin, payload }: FrameToWrite, masked: boolean): Buffer[] {
  const { length } = payload;
  const extended = length < 126 ? 0 : length < 65536 ? 2 : 8;
  const header = Buffer.alloc(2 + extended + (masked ? 4 : 0));
  header[0] = (fin ? 0x80 : 0) | code;
  header[1] = (masked ? 0x80 : 0) | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) header.writeUInt16BE(length, 2);
  else if (extended === 8) header.writeBigUInt64BE(BigInt(length), 2);
  if (!masked) return [header, payload];
  const mask = randomBytes(4);
  mask.copy(header, header.length - 4);
  const hidden = Buffer.allocUnsafe(length);
  for (let index = 0; index < length; index++) hidden[index] = payload[index]! ^ mask[index & 3]!;
  return [header, hidden];
}

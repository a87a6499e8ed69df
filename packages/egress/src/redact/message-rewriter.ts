/**
 * Rewrites streams of messages that begin with a flag and their length (gRPC, "PROTOCOL-HTTP2"; Connect, "Streaming RPCs"). Each message
 * goes on as soon as it is whole: its receiver may answer it before the next one comes.
 */

import type { Rewriter } from "./rewriter.ts";

/** Bytes: a flag, and a length of four. */
const prefix = 5;

export class MessageRewriter implements Rewriter {
  readonly #rewriter: Rewriter;
  readonly #prefix = Buffer.alloc(prefix);
  /** Bytes of the prefix that came, and bytes of the message that did not. */
  #known = 0;
  #left = 0;

  /** @param rewriter keeps lengths, and can be used again after its end */
  constructor(rewriter: Rewriter) {
    this.#rewriter = rewriter;
  }

  readonly waits = false;

  idle(): Buffer[] {
    return [];
  }

  push(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    for (let at = 0; at < chunk.length;) {
      if (this.#known < prefix) {
        const part = chunk.subarray(at, at + prefix - this.#known);
        part.copy(this.#prefix, this.#known);
        this.#known += part.length;
        at += part.length;
        pieces.push(part);
        if (this.#known < prefix) break;
        this.#left = this.#prefix.readUInt32BE(1);
      }
      const part = chunk.subarray(at, at + this.#left);
      this.#left -= part.length;
      at += part.length;
      if (part.length > 0) pieces.push(...this.#rewriter.push(part));
      if (this.#left > 0) break;
      pieces.push(...this.#rewriter.end());
      this.#known = 0;
    }
    return pieces;
  }

  end(): Buffer[] {
    return this.#rewriter.end();
  }
}

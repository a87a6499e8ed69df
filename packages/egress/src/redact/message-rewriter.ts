/**
 * Rewrites streams of messages that begin with a flag and their length (gRPC, "PROTOCOL-HTTP2"; Connect, "Streaming RPCs"). The last token
 * of a message is given out when its sender pauses after it, because its receiver may answer before the next message comes. The lengths
 * are only used to find such pauses, not trusted: an upstream that returns what a guest once stored has them where the guest wants them.
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

  /** @param rewriter keeps lengths, and lets all go when it is asked to */
  constructor(rewriter: Rewriter) {
    this.#rewriter = rewriter;
  }

  push(chunk: Buffer): Buffer[] {
    for (let at = 0; at < chunk.length;) at += this.#follow(chunk.subarray(at));
    return this.#rewriter.push(chunk);
  }

  /** @returns how many bytes belong to the same part, a prefix or a message */
  #follow(bytes: Buffer): number {
    if (this.#known < prefix) {
      const taken = bytes.copy(this.#prefix, this.#known, 0, prefix - this.#known);
      this.#known += taken;
      if (this.#known < prefix) return taken;
      this.#left = this.#prefix.readUInt32BE(1);
      if (this.#left === 0) this.#known = 0;
      return taken;
    }
    const taken = Math.min(bytes.length, this.#left);
    this.#left -= taken;
    if (this.#left === 0) this.#known = 0;
    return taken;
  }

  get waits(): boolean {
    return this.#known === 0 && this.#rewriter.waits;
  }

  idle(): Buffer[] {
    return this.waits ? this.#rewriter.idle() : [];
  }

  end(): Buffer[] {
    return this.#rewriter.end();
  }
}

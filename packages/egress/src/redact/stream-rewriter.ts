/** Replaces needles in a stream of chunks of any size, holding back only what may still become a needle. */
import { GrowingBytes } from "../bytes/growing-bytes.ts";
import type { Holding } from "./holding.ts";
import type { Matcher } from "./matcher.ts";
import type { Needle } from "./needle.ts";
import type { Rewriter } from "./rewriter.ts";

/**
 * The replacement of a found needle. May throw, which ends the stream.
 * @param shown bytes at its beginning that went out before it was whole
 */
export type Replace<Tag> = (needle: Needle<Tag>, shown: number) => Buffer;

/**
 * So much of what waits may be shown when the sender pauses. Without this a reply that happens to end in one letter, as answers in a
 * dialogue do, would wait for a next one that never comes.
 */
const shownWhenIdle = 3;

export class StreamRewriter<Tag> implements Rewriter {
  readonly #matcher: Matcher<Tag>;
  readonly #replace: Replace<Tag>;
  readonly #holding: Holding;
  readonly #shownWhenIdle: number;
  #held = new GrowingBytes();
  /** Bytes at the beginning of what is held that were given out already. */
  #shown = 0;

  /** @param showing bytes, if no more are held, that `idle` gives out */
  constructor(matcher: Matcher<Tag>, replace: Replace<Tag>, holding: Holding, showing = shownWhenIdle) {
    this.#matcher = matcher;
    this.#replace = replace;
    this.#holding = holding;
    this.#shownWhenIdle = showing;
  }

  /** The pieces that can go on now; views of `chunk` where nothing was replaced. */
  push(chunk: Buffer): Buffer[] {
    const waiting = this.#held.length;
    if (waiting > 0 && this.#holding.joins(chunk, waiting)) {
      this.#held.append(chunk);
      return [];
    }
    if (waiting === 0) return this.#run(chunk, "more");
    // Only so much of the chunk is copied that what waits then stands in it as a whole; there the chunk itself is gone on with.
    const seam = chunk.subarray(0, 2 * this.#holding.most);
    const pieces = this.#run(Buffer.concat([this.#held.bytes, seam]), "more");
    if (seam.length === chunk.length) return pieces;
    return pieces.concat(this.#run(chunk.subarray(seam.length - this.#held.length), "more"));
  }

  /** What was held back, when no more will come. */
  end(): Buffer[] {
    return this.#held.length === 0 ? [] : this.#run(this.#held.bytes, "end");
  }

  /** True when `idle` would give something out. */
  get waits(): boolean {
    const waiting = this.#held.length;
    return waiting > this.#shown && waiting <= this.#shownWhenIdle;
  }

  /** Call when the sender has paused. What went out is still known when the rest of a needle comes. */
  idle(): Buffer[] {
    return this.waits ? this.#run(this.#held.bytes, "pause") : [];
  }

  #run(data: Buffer, then: "more" | "pause" | "end"): Buffer[] {
    const shown = this.#shown;
    this.#held = new GrowingBytes();
    this.#shown = 0;
    const pieces: Buffer[] = [];
    const give = (from: number, to: number): void => {
      const start = Math.max(from, shown);
      if (to > start) pieces.push(data.subarray(start, to));
    };
    let position = 0;
    const goesOn = (): number => (then === "more" ? this.#holding.from(data, position) : data.length);
    let stop = goesOn();
    for (;;) {
      const found = this.#matcher.find(data, position);
      // A longer needle that began earlier may still be on its way; it is decided first.
      if (found === undefined || found.start >= stop) break;
      give(position, found.start);
      pieces.push(this.#replace(found.needle, Math.max(0, shown - found.start)));
      position = found.start + found.needle.bytes.length;
      if (position > stop) stop = goesOn();
    }
    give(position, stop);
    const kept = then === "pause" ? this.#holding.from(data, position) : stop;
    if (kept < data.length) {
      // A copy, so that a few held bytes do not keep a whole network buffer alive.
      this.#held.append(data.subarray(kept));
      this.#shown = then === "pause" ? data.length - kept : Math.max(0, shown - kept);
    }
    return pieces;
  }
}

/** Rewrites a text as a whole. */
export function rewriteAll<Tag>(matcher: Matcher<Tag>, replace: Replace<Tag>, data: Buffer): Buffer {
  const pieces: Buffer[] = [];
  let position = 0;
  for (;;) {
    const found = matcher.find(data, position);
    if (found === undefined) break;
    pieces.push(data.subarray(position, found.start), replace(found.needle, 0));
    position = found.start + found.needle.bytes.length;
  }
  return position === 0 ? data : Buffer.concat([...pieces, data.subarray(position)]);
}

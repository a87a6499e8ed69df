/** Replaces needles in a stream of chunks of any size, holding back only what may still become a needle. */
import type { Matcher, Needle } from "./matcher.ts";

/** What stands in for a found needle. May throw, which ends the stream. */
export type Replace<Tag> = (needle: Needle<Tag>) => Buffer;

/**
 * So much of an unfinished needle may be shown when the sender pauses. Without this a reply that happens to end in the
 * first letter of a key would wait for a next one that never comes.
 */
const shownWhenIdle = 3;

export class StreamRewriter<Tag> {
  readonly #matcher: Matcher<Tag>;
  readonly #replace: Replace<Tag>;
  #held: Buffer | undefined;
  /** Bytes at the beginning of what is held that were given out already. */
  #shown = 0;

  constructor(matcher: Matcher<Tag>, replace: Replace<Tag>) {
    this.#matcher = matcher;
    this.#replace = replace;
  }

  /** The pieces that can go on now; views of `chunk` where nothing was replaced. */
  push(chunk: Buffer): Buffer[] {
    return this.#run(chunk, false);
  }

  /** What was held back, when no more will come. */
  end(): Buffer[] {
    return this.#held === undefined ? [] : this.#run(undefined, true);
  }

  /** True when `idle` would give something out. */
  get waits(): boolean {
    return this.#held !== undefined && this.#held.length <= shownWhenIdle && this.#shown < this.#held.length;
  }

  /** Call when the sender has paused. */
  idle(): Buffer[] {
    if (!this.waits) return [];
    const piece = this.#held!.subarray(this.#shown);
    this.#shown = this.#held!.length;
    return [piece];
  }

  #run(chunk: Buffer | undefined, last: boolean): Buffer[] {
    const data =
      this.#held === undefined ? chunk! : chunk === undefined ? this.#held : Buffer.concat([this.#held, chunk]);
    const shown = this.#shown;
    this.#held = undefined;
    this.#shown = 0;
    const pieces: Buffer[] = [];
    const give = (from: number, to: number): void => {
      const start = Math.max(from, shown);
      if (to > start) pieces.push(data.subarray(start, to));
    };
    let position = 0;
    let stop = last ? data.length : this.#matcher.unfinished(data, 0);
    for (;;) {
      const found = this.#matcher.find(data, position);
      // A longer needle that began earlier may still be on its way; it is decided first.
      if (found === undefined || found.start >= stop) break;
      give(position, found.start);
      pieces.push(this.#replace(found.needle));
      position = found.start + found.needle.bytes.length;
      if (position > stop) stop = last ? data.length : this.#matcher.unfinished(data, position);
    }
    give(position, stop);
    if (stop < data.length) {
      // A copy, so that a few held bytes do not keep a whole network buffer alive.
      this.#held = Buffer.from(data.subarray(stop));
      this.#shown = Math.max(0, shown - stop);
    }
    return pieces;
  }
}

/** Rewrites a text as a whole. */
export function rewriteAll<Tag>(matcher: Matcher<Tag>, replace: Replace<Tag>, data: Buffer): Buffer {
  if (matcher.find(data) === undefined) return data;
  const rewriter = new StreamRewriter(matcher, replace);
  return Buffer.concat([...rewriter.push(data), ...rewriter.end()]);
}

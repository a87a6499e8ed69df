/** What must wait at the end of a stream's bytes, since it may be the beginning of a needle. */
import type { Matcher } from "./matcher.ts";
import type { Needle } from "./needle.ts";

export interface Holding {
  /** Bytes that wait at most, but for those that joined. */
  readonly most: number;
  /** Where what must wait begins, at or after `from`. */
  from(data: Buffer, from: number): number;
  /** Whether `piece` can join the `waiting` bytes before it unread, since it lets none of them go. */
  joins(piece: Buffer, waiting: number): boolean;
}

/** What has begun like a needle waits. Who sees what waits learns how needles begin, so this is for needles that are no secret. */
export function holdUnfinished(matcher: Matcher<unknown>): Holding {
  return { most: matcher.longest, from: (data, from) => matcher.unfinished(data, from), joins: () => false };
}

/** Bytes. Lengths of values are not told to a guest by how much it waits for. */
const step = 512;

/**
 * The last word waits, whatever it is. Were only beginnings of needles to wait, a guest that has an echo would learn a secret letter by
 * letter: whichever next letter does not come back at once is right. White space and other controls end a word, unless a needle holds them.
 */
export function holdWord(needles: readonly Needle<unknown>[], longest: number): Holding {
  const ends = new Uint8Array(256).fill(1, 1, 33);
  for (const { bytes } of needles) for (const byte of bytes) ends[byte] = 0;
  const most = Math.max(1, Math.ceil(longest / step)) * step;
  return {
    most,
    from(data, from) {
      const least = Math.max(from, data.length - most);
      let start = data.length;
      while (start > least && ends[data[start - 1]!] === 0) start--;
      return start;
    },
    joins: (piece, waiting) => waiting + piece.length <= 2 * most && piece.every((byte) => ends[byte] === 0),
  };
}

/** Which bytes at the end of a stream's data must be held back, because they may be the beginning of a needle. */
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

/** Holds back what begins like a needle. The delay shows how needles begin, so this is only for needles that are not secret. */
export function holdUnfinished(matcher: Matcher<unknown>): Holding {
  return { most: matcher.longest, from: (data, from) => matcher.unfinished(data, from), joins: () => false };
}

/** Bytes. The number of held bytes must not show a guest the length of a value. */
const step = 512;

/**
 * Holds back the last token, whatever it is. If only beginnings of needles were held back, a guest with an echo server would learn a secret
 * letter by letter: the next letter that does not come back at once is right. White space and control characters end a token, unless a
 * needle contains them.
 */
export function holdToken(needles: readonly Needle<unknown>[], longest: number): Holding {
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

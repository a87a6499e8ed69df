/**
 * Finds many byte strings at once (Wu and Manber, "A fast algorithm for multi-pattern searching", TR-94-17, with blocks
 * of two bytes): most positions of ordinary data are skipped without being looked at.
 */

export interface Needle<Tag> {
  readonly bytes: Buffer;
  readonly tag: Tag;
}

export interface Found<Tag> {
  readonly start: number;
  readonly needle: Needle<Tag>;
}

/** Shifts are kept in bytes. */
const longestWindow = 255;

export class Matcher<Tag> {
  /** Bytes of the longest needle. */
  readonly longest: number;
  readonly empty: boolean;
  readonly #window: number;
  readonly #shift: Uint8Array;
  readonly #byBlock = new Map<number, Needle<Tag>[]>();
  readonly #byFirst: (Needle<Tag>[] | undefined)[] = Array.from({ length: 256 });

  /** Needles hold at least two bytes. Of equal needles the first counts. */
  constructor(needles: readonly Needle<Tag>[]) {
    const distinct = [
      ...new Map(needles.toReversed().map((needle) => [needle.bytes.toString("latin1"), needle])).values(),
    ];
    // The longest first, so that a needle wins over its own beginning.
    distinct.sort((a, b) => b.bytes.length - a.bytes.length);
    this.empty = distinct.length === 0;
    this.longest = distinct[0]?.bytes.length ?? 0;
    this.#window = Math.min(longestWindow, distinct.at(-1)?.bytes.length ?? 2);
    this.#shift = new Uint8Array(this.empty ? 0 : 65536).fill(this.#window - 1);
    for (const needle of distinct) this.#add(needle);
  }

  #add(needle: Needle<Tag>): void {
    const { bytes } = needle;
    for (let end = 1; end < this.#window; end++) {
      const block = (bytes[end - 1]! << 8) | bytes[end]!;
      this.#shift[block] = Math.min(this.#shift[block]!, this.#window - 1 - end);
    }
    const last = (bytes[this.#window - 2]! << 8) | bytes[this.#window - 1]!;
    this.#byBlock.set(last, [...(this.#byBlock.get(last) ?? []), needle]);
    (this.#byFirst[bytes[0]!] ??= []).push(needle);
  }

  /** The leftmost needle at or after `from`, the longest where several begin. */
  find(data: Buffer, from = 0): Found<Tag> | undefined {
    if (this.empty) return undefined;
    const shift = this.#shift;
    const window = this.#window;
    const length = data.length;
    let last = from + window - 1;
    while (last < length) {
      const block = (data[last - 1]! << 8) | data[last]!;
      const step = shift[block]!;
      if (step !== 0) {
        last += step;
        continue;
      }
      const start = last - window + 1;
      const candidates = this.#byBlock.get(block);
      if (candidates !== undefined) {
        for (const needle of candidates) {
          if (matchesAt(data, start, needle.bytes, needle.bytes.length)) return { start, needle };
        }
      }
      last++;
    }
    return undefined;
  }

  /** Where, at or after `from`, the data ends in the beginning of a needle; the data's length when it does not. */
  unfinished(data: Buffer, from: number): number {
    const length = data.length;
    for (let start = Math.max(from, length - this.longest + 1); start < length; start++) {
      const candidates = this.#byFirst[data[start]!];
      if (candidates === undefined) continue;
      const rest = length - start;
      for (const needle of candidates) {
        if (needle.bytes.length > rest && matchesAt(data, start, needle.bytes, rest)) return start;
      }
    }
    return length;
  }
}

function matchesAt(data: Buffer, start: number, needle: Buffer, count: number): boolean {
  if (start + count > data.length) return false;
  for (let index = 0; index < count; index++) {
    if (data[start + index] !== needle[index]) return false;
  }
  return true;
}

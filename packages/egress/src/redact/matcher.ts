/**
 * Finds many byte strings at once (Wu and Manber, "A fast algorithm for multi-pattern searching", TR-94-17, with blocks
 * of two bytes): most positions of ordinary data are skipped without being looked at. Where a needle may begin, the automaton decides.
 */
import { Automaton } from "./automaton.ts";
import type { Found, Needle } from "./needle.ts";

/** Shifts are kept in bytes. */
const longestWindow = 255;
/** Bytes of a needle that are compared before the automaton is asked: enough to be nearly always right, few enough to bound the cost. */
const longestProbe = 32;
/** Where more begin alike, the automaton is quicker. */
const mostProbes = 8;
/** Bytes from which on searching in quarters is worth it. */
const lanesFrom = 1024;
const none: readonly never[] = [];

export class Matcher<Tag> {
  /** Bytes of the longest needle. */
  readonly longest: number;
  readonly empty: boolean;
  readonly #needles: readonly Needle<Tag>[];
  readonly #window: number;
  readonly #shift: Uint8Array;
  /** Beginnings of needles, by the last block of their window. */
  readonly #byBlock = new Map<number, Buffer[]>();
  readonly #byFirst: (Needle<Tag>[] | undefined)[] = Array.from({ length: 256 });
  /**
   * Made with the first search: many sandboxes never get an answer, and it takes some 20 bytes for each byte of a needle. Not later, since
   * the delay would show when something looked like a needle for the first time.
   */
  #automaton: Automaton<Tag> | undefined;

  /** Needles hold at least two bytes. Of equal needles the first counts. */
  constructor(needles: readonly Needle<Tag>[]) {
    const distinct = [
      ...new Map(needles.toReversed().map((needle) => [needle.bytes.toString("latin1"), needle])).values(),
    ];
    distinct.sort((a, b) => b.bytes.length - a.bytes.length);
    this.#needles = distinct;
    this.empty = distinct.length === 0;
    this.longest = distinct[0]?.bytes.length ?? 0;
    this.#window = Math.min(longestWindow, distinct.at(-1)?.bytes.length ?? 2);
    this.#shift = new Uint8Array(this.empty ? 0 : 65536).fill(this.#window - 1);
    // The shortest first, so that a beginning that has another one at its beginning is left out.
    for (const needle of distinct.toReversed()) this.#add(needle);
  }

  #add(needle: Needle<Tag>): void {
    const { bytes } = needle;
    for (let end = 1; end < this.#window; end++) {
      const block = (bytes[end - 1]! << 8) | bytes[end]!;
      this.#shift[block] = Math.min(this.#shift[block]!, this.#window - 1 - end);
    }
    const last = (bytes[this.#window - 2]! << 8) | bytes[this.#window - 1]!;
    const probes = this.#byBlock.get(last) ?? [];
    if (!probes.some((probe) => matchesAt(bytes, 0, probe, probe.length)))
      this.#byBlock.set(last, [...probes, bytes.subarray(0, Math.max(this.#window, longestProbe))]);
    (this.#byFirst[bytes[0]!] ??= []).push(needle);
  }

  /** The leftmost needle at or after `from`, the longest where several begin. */
  find(data: Buffer, from = 0): Found<Tag> | undefined {
    if (this.empty) return undefined;
    this.#automaton ??= new Automaton(this.#needles);
    if (data.length - from > lanesFrom && this.#isClean(data, from)) return undefined;
    for (let last = from + this.#window - 1; last < data.length;) {
      const step = this.#shift[(data[last - 1]! << 8) | data[last]!]!;
      if (step > 0) last += step;
      else if (!this.#mayBegin(data, last)) last++;
      else {
        const { found, next } = this.#automaton.search(data, last - this.#window + 1);
        if (found !== undefined) return found;
        last = next + this.#window - 1;
      }
    }
    return undefined;
  }

  /**
   * Whether nothing is to be found, which is so nearly always. Each step has to wait for memory, so four searches of a
   * quarter each go on at a time.
   */
  #isClean(data: Buffer, from: number): boolean {
    const shift = this.#shift;
    const { length } = data;
    let a = from + this.#window - 1;
    const quarter = (length - a) >> 2;
    const [endA, endB, endC] = [a + quarter, a + 2 * quarter, a + 3 * quarter];
    let [b, c, d] = [endA, endB, endC];
    while (a < endA && b < endB && c < endC && d < length) {
      const stepA = shift[(data[a - 1]! << 8) | data[a]!]!;
      const stepB = shift[(data[b - 1]! << 8) | data[b]!]!;
      const stepC = shift[(data[c - 1]! << 8) | data[c]!]!;
      const stepD = shift[(data[d - 1]! << 8) | data[d]!]!;
      if (stepA === 0 && this.#mayBegin(data, a++)) return false;
      if (stepB === 0 && this.#mayBegin(data, b++)) return false;
      if (stepC === 0 && this.#mayBegin(data, c++)) return false;
      if (stepD === 0 && this.#mayBegin(data, d++)) return false;
      a += stepA;
      b += stepB;
      c += stepC;
      d += stepD;
    }
    return (
      this.#isCleanFrom(data, a, endA) &&
      this.#isCleanFrom(data, b, endB) &&
      this.#isCleanFrom(data, c, endC) &&
      this.#isCleanFrom(data, d, length)
    );
  }

  #isCleanFrom(data: Buffer, from: number, end: number): boolean {
    for (let last = from; last < end;) {
      const step = this.#shift[(data[last - 1]! << 8) | data[last]!]!;
      if (step === 0 && this.#mayBegin(data, last)) return false;
      last += step || 1;
    }
    return true;
  }

  /** Whether data whose window ends at `last` begins like a needle. */
  #mayBegin(data: Buffer, last: number): boolean {
    const start = last - this.#window + 1;
    const probes = this.#byBlock.get((data[last - 1]! << 8) | data[last]!) ?? none;
    if (probes.length > mostProbes) return true;
    for (const probe of probes) if (matchesAt(data, start, probe, probe.length)) return true;
    return false;
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

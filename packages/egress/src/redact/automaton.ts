/**
 * Decides which needle begins where (Aho and Corasick, "Efficient string matching", CACM 18 (6), 1975). Each byte is looked at once,
 * whatever the needles and the data repeat: a value like `aaaa...b` and an answer of a million `a` cost no more than others.
 */
import type { Found, Needle } from "./needle.ts";

/** A match, or where the next one may begin. */
export interface Outcome<Tag> {
  readonly found?: Found<Tag>;
  readonly next: number;
}

const root = 0;
const none = -1;

export class Automaton<Tag> {
  readonly #needles: readonly Needle<Tag>[];
  /** Per state: its byte, first child, next child of the same parent, longest proper suffix, length, longest needle that ends here. */
  readonly #byte: Uint8Array;
  readonly #child: Int32Array;
  readonly #sibling: Int32Array;
  readonly #suffix: Int32Array;
  readonly #depth: Int32Array;
  readonly #needle: Int32Array;
  /** Children of the root by byte: all searches begin there. */
  readonly #first = new Int32Array(256).fill(none);

  /** @param needles distinct */
  constructor(needles: readonly Needle<Tag>[]) {
    this.#needles = needles;
    const states = 1 + needles.reduce((sum, { bytes }) => sum + bytes.length, 0);
    this.#byte = new Uint8Array(states);
    [this.#child, this.#sibling, this.#suffix, this.#depth, this.#needle] = Array.from({ length: 5 }, () =>
      new Int32Array(states).fill(none),
    ) as [Int32Array, Int32Array, Int32Array, Int32Array, Int32Array];
    this.#depth[root] = 0;
    this.#suffix[root] = root;
    this.#link(this.#grow());
  }

  /** @returns the states in the order of their depth */
  #grow(): Int32Array {
    let states = 1;
    for (const [index, { bytes }] of this.#needles.entries()) {
      let state = root;
      for (const byte of bytes) {
        let next = this.#step(state, byte);
        if (next === none) {
          next = states++;
          this.#byte[next] = byte;
          this.#depth[next] = this.#depth[state]! + 1;
          if (state === root) this.#first[byte] = next;
          this.#sibling[next] = this.#child[state]!;
          this.#child[state] = next;
        }
        state = next;
      }
      this.#needle[state] = index;
    }
    const order = new Int32Array(states);
    for (let done = 0, known = 1; done < known; done++)
      for (let child = this.#child[order[done]!]!; child !== none; child = this.#sibling[child]!)
        order[known++] = child;
    return order;
  }

  #link(order: Int32Array): void {
    for (const parent of order)
      for (let child = this.#child[parent]!; child !== none; child = this.#sibling[child]!) {
        const suffix = parent === root ? root : this.#next(this.#suffix[parent]!, this.#byte[child]!);
        this.#suffix[child] = suffix;
        if (this.#needle[child] === none) this.#needle[child] = this.#needle[suffix]!;
      }
  }

  #step(state: number, byte: number): number {
    if (state === root) return this.#first[byte]!;
    let child = this.#child[state]!;
    while (child !== none && this.#byte[child] !== byte) child = this.#sibling[child]!;
    return child;
  }

  #next(from: number, byte: number): number {
    for (let state = from; ; state = this.#suffix[state]!) {
      const next = this.#step(state, byte);
      if (next !== none) return next;
      if (state === root) return root;
    }
  }

  /** The leftmost needle that begins at or after `start`, the longest of several, unless it becomes clear earlier that none begins soon. */
  search(data: Buffer, start: number): Outcome<Tag> {
    let state = root;
    let found: Found<Tag> | undefined;
    for (let at = start; at < data.length; at++) {
      state = this.#next(state, data[at]!);
      const begun = at + 1 - this.#depth[state]!;
      if (this.#needle[state] !== none) {
        const needle = this.#needles[this.#needle[state]!]!;
        const from = at + 1 - needle.bytes.length;
        if (found === undefined || from <= found.start) found = { start: from, needle };
      }
      if (found !== undefined && begun > found.start) return { found, next: at + 1 };
      if (found === undefined && state === root) return { next: at + 1 };
    }
    return { ...(found !== undefined && { found }), next: data.length };
  }
}

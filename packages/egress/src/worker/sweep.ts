/**
 * Has V8 let go of the buffers that bytes came in. They are memory outside of its heap: it sweeps them with the young generation, which
 * they hardly fill, and marks the whole heap for every 64 MiB of them. Sweeping before that takes a third of a millisecond, marking
 * fifty: a fifth of the processor time a megabyte (`bench/egress`).
 */

/** Bytes. */
const sweepEvery = 8 * 2 ** 20;

/** There with `--expose-gc` only. */
const collect = (globalThis as { gc?: (options: { type: "minor" }) => void }).gc;
let passed = 0;

/** Must be called for all bytes that a connection carries. */
export function sweepAfter(bytes: number): void {
  passed += bytes;
  if (passed < sweepEvery) return;
  passed = 0;
  collect?.({ type: "minor" });
}

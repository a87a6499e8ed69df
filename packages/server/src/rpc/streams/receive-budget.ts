/**
 * Limits how many bytes of a client wait to be read. The protocol has no flow control, so the only way to slow a client down is to
 * stop reading its socket. But kills and pings use the same socket, so reading never stops for good: when nothing is consumed for a
 * while the limit grows, and at the largest limit, or when no memory is left, the largest stream is dropped.
 */
import type { Budget, Hold } from "../../kernel/memory/budget.ts";

/** Small: buffers that wait longer leave V8's young generation and are freed much later. Bytes. */
const softBytes = 2 ** 20;
const hardBytes = 64 * 2 ** 20;
/** Milliseconds without any consumption after which reading goes on. */
const usualPatience = 3000;

export interface BudgetOwner {
  pause(): void;
  resume(): void;
  /** Drops the stream with most unread bytes. */
  dropLargest(): void;
}

export class ReceiveBudget {
  readonly #owner: BudgetOwner;
  readonly #patience: number;
  #used = 0;
  #limit = softBytes;
  #timer: NodeJS.Timeout | undefined;
  readonly #memory: Budget;
  /** What a limit above the usual one takes of the memory. */
  readonly #holds: Hold[] = [];

  /** @param memory a larger limit takes from it */
  constructor(owner: BudgetOwner, memory: Budget, patience = usualPatience) {
    this.#owner = owner;
    this.#memory = memory;
    this.#patience = patience;
  }

  get paused(): boolean {
    return this.#timer !== undefined;
  }

  add(bytes: number): void {
    this.#used += bytes;
    if (this.#used > this.#limit && this.#timer === undefined) {
      this.#owner.pause();
      this.#arm();
    }
  }

  release(bytes: number): void {
    this.#used -= bytes;
    if (this.#timer === undefined) return;
    if (this.#used <= softBytes / 2) {
      this.#limit = softBytes;
      this.#releaseAll();
      this.#resume();
    } else {
      this.#arm();
    }
  }

  close(): void {
    this.#releaseAll();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stalled(), this.#patience);
    this.#timer.unref();
  }

  #stalled(): void {
    this.#timer = undefined;
    const hold = this.#limit < hardBytes ? this.#memory.try(this.#limit) : undefined;
    if (hold === undefined) this.#owner.dropLargest();
    else {
      this.#holds.push(hold);
      this.#limit *= 2;
    }
    this.#resume();
    // One message can be larger than the next limit; then reading stops again at once.
    if (this.#used > this.#limit) this.add(0);
  }

  #releaseAll(): void {
    for (const hold of this.#holds.splice(0)) hold.release();
  }

  #resume(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#owner.resume();
  }
}

/**
 * Bounds what a client may have sent that nobody has consumed. The protocol has no flow control, so the only brake is to stop
 * reading from the socket; but replies, kills and pings come over the same socket, so it is never stopped for good: when nothing is
 * consumed for a while the bound grows, and at its end the largest stream is dropped.
 */
/** What waits longer than a moment outlives V8's young generation, and is then kept for long after it was used. */
const softBytes = 2 ** 20;
const hardBytes = 64 * 2 ** 20;
/** Milliseconds without any consumption after which a stopped socket is read again. */
const usualPatience = 3000;

export interface BudgetOwner {
  pause(): void;
  resume(): void;
  /** Drops the stream that holds most. */
  dropLargest(): void;
}

export class ReceiveBudget {
  readonly #owner: BudgetOwner;
  readonly #patience: number;
  #used = 0;
  #limit = softBytes;
  #timer: NodeJS.Timeout | undefined;

  constructor(owner: BudgetOwner, patience = usualPatience) {
    this.#owner = owner;
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
      this.#resume();
    } else {
      this.#arm();
    }
  }

  close(): void {
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
    if (this.#limit < hardBytes) this.#limit *= 2;
    else this.#owner.dropLargest();
    this.#resume();
    // A message larger than the next bound must not leave the socket open without one.
    if (this.#used > this.#limit) this.add(0);
  }

  #resume(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#owner.resume();
  }
}

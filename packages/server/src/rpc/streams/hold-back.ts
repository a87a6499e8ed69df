/**
 * Output of a new process is held back until the client sends `processWait` (T5). The Python client registers its readers only after
 * the reply to `spawn`; both clients send `processWait` right after that.
 */

/** Milliseconds after the reply, or after the last frame of stdin. Then the output goes out without `processWait`. */
const fallback = 1500;

export class HoldBack {
  readonly released: Promise<void>;
  readonly #release: () => void;
  readonly #timer: NodeJS.Timeout;
  #done = false;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.released = promise;
    this.#release = resolve;
    this.#timer = setTimeout(() => this.release(), fallback);
  }

  /** The client still sends stdin. */
  touch(): void {
    if (!this.#done) this.#timer.refresh();
  }

  release(): void {
    this.#done = true;
    clearTimeout(this.#timer);
    this.#release();
  }
}

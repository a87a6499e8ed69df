/**
 * Output of a new process is held back until its client asks to wait for it (T5): the Python client registers its readers only after
 * the reply, and both clients always send `processWait` right after that.
 */

/** Milliseconds after the reply, or after the last frame of stdin, for a client that never asks. */
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

  /** The client is still busy with stdin. */
  touch(): void {
    if (!this.#done) this.#timer.refresh();
  }

  release(): void {
    this.#done = true;
    clearTimeout(this.#timer);
    this.#release();
  }
}

/**
 * The queue of requests that wait for a restore. If more restores run at a time than the host has processors, all of them are slow. If they
 * run one after the other, the first takes no longer than it would alone. A request that cannot be served before its client gives up is
 * refused with an error.
 */
import { CaissonError } from "@caisson/protocol";

export interface StartQueueOptions {
  /** Starts at a time. */
  readonly slots: number;
  /** From the request to the running machine, milliseconds. */
  readonly patienceMs: number;
}

interface Waiting {
  readonly begin: () => void;
}

/** Weight of the newest start in the mean of their durations. */
const newest = 0.3;
/** A request waits for at least this part of the patience, however long starts take. */
const leastWait = 0.3;

export class StartQueue {
  readonly #options: StartQueueOptions;
  readonly #waiting = new Set<Waiting>();
  #running = 0;
  /** How long a start takes lately, milliseconds. */
  #usualMs = 0;

  constructor(options: StartQueueOptions) {
    this.#options = options;
  }

  /** Whether a request waits. */
  get crowded(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * Waits for its turn. First come, first served.
   * @returns to be called when the start is over
   * @throws CaissonError `unavailable` when the turn does not come in time; the reason of the signal
   */
  async enter(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#running < this.#options.slots) return this.#begin();
    const turn = Promise.withResolvers<() => void>();
    const waiting: Waiting = { begin: () => turn.resolve(this.#begin()) };
    this.#waiting.add(waiting);
    const { patienceMs } = this.#options;
    const waitMs = Math.max(patienceMs - this.#usualMs, patienceMs * leastWait);
    // Out of the queue at once: a turn that is given to a request that has been refused would never end.
    const refuse = (reason: unknown) => {
      this.#waiting.delete(waiting);
      turn.reject(reason);
    };
    const timer = setTimeout(() => refuse(tooMany(this.#waiting.size, waitMs)), waitMs);
    const abort = () => refuse(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await turn.promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  #begin(): () => void {
    this.#running++;
    const began = performance.now();
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this.#running--;
      const took = performance.now() - began;
      this.#usualMs = this.#usualMs === 0 ? took : this.#usualMs * (1 - newest) + took * newest;
      const [next] = this.#waiting;
      if (next === undefined) return;
      this.#waiting.delete(next);
      next.begin();
    };
  }
}

function tooMany(waiting: number, waitedMs: number): CaissonError {
  return new CaissonError(
    "unavailable",
    `The node is starting other sandboxes, and ${waiting} requests wait. This one waited ${Math.round(waitedMs / 1000)} s. Try again in a few seconds. (Operators: \`pool.size\`, \`sandbox.startPatience\`.)`,
  );
}

/** Places for work of several organisations. Whoever uses the fewest is next, so that one organisation cannot keep the others waiting. */
interface Waiting {
  readonly org: string;
  readonly begin: () => void;
}

export class Slots {
  readonly #size: number;
  readonly #used = new Map<string, number>();
  readonly #waiting = new Set<Waiting>();

  constructor(size: number) {
    this.#size = size;
  }

  /**
   * Waits for a place.
   * @returns gives it back
   * @throws the reason of the signal
   */
  async take(org: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const turn = Promise.withResolvers<void>();
    const waiting: Waiting = { org, begin: () => turn.resolve() };
    const abort = () => {
      // Who has a place already gives it back.
      if (this.#waiting.delete(waiting)) turn.reject(signal.reason);
    };
    this.#waiting.add(waiting);
    signal.addEventListener("abort", abort, { once: true });
    this.#next();
    await turn.promise.finally(() => signal.removeEventListener("abort", abort));
    return () => {
      this.#count(org, -1);
      this.#next();
    };
  }

  #next(): void {
    const inUse = [...this.#used.values()].reduce((sum, used) => sum + used, 0);
    if (inUse >= this.#size) return;
    let next: Waiting | undefined;
    for (const waiting of this.#waiting)
      if (next === undefined || this.#usedBy(waiting) < this.#usedBy(next)) next = waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    this.#count(next.org, 1);
    next.begin();
  }

  #usedBy({ org }: Waiting): number {
    return this.#used.get(org) ?? 0;
  }

  #count(org: string, by: 1 | -1): void {
    const used = (this.#used.get(org) ?? 0) + by;
    if (used === 0) this.#used.delete(org);
    else this.#used.set(org, used);
  }
}

/** Wakes those who wait for news of a revision: its status, its progress, its build logs. */

export class Watch {
  readonly #waiting = new Map<string, Set<() => void>>();

  notify(key: string): void {
    const waiting = this.#waiting.get(key);
    this.#waiting.delete(key);
    for (const wake of waiting ?? []) wake();
  }

  /**
   * Must be called before the state is read, so that no news is missed between the two.
   * @returns `changed` resolves at the next news; `stop` must be called when nobody waits for it any more
   */
  arm(key: string): { readonly changed: Promise<void>; readonly stop: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiting.add(resolve));
    const stop = () => {
      waiting.delete(resolve);
      if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key);
    };
    return { changed: promise, stop };
  }
}

/** A lock for each key: operations with the same key run one after another. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `action` when all earlier ones with this key have ended, also those that failed. */
  run<T>(key: string, action: () => Promise<T>): Promise<T> {
    const result = (this.#tails.get(key) ?? Promise.resolve()).then(action, action);
    const tail = result
      .catch(() => undefined)
      .finally(() => {
        if (this.#tails.get(key) === tail) this.#tails.delete(key);
      });
    this.#tails.set(key, tail);
    return result;
  }

  /** Holds several keys. They are taken in sorted order, so that callers cannot deadlock. */
  runAll<T>(keys: readonly string[], action: () => Promise<T>): Promise<T> {
    return [...new Set(keys)]
      .sort()
      .reduceRight<() => Promise<T>>((inner, key) => () => this.run(key, inner), action)();
  }
}

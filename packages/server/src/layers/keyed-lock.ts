/** Lets operations on one thing follow one another. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `action` when every earlier one under this key has ended, well or badly. */
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

  /** Holds several keys. All callers take them in one order, so none waits for another in a circle. */
  runAll<T>(keys: readonly string[], action: () => Promise<T>): Promise<T> {
    return [...new Set(keys)]
      .sort()
      .reduceRight<() => Promise<T>>((inner, key) => () => this.run(key, inner), action)();
  }
}

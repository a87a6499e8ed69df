/** How many of something there are, by sandbox. */
export class Counts {
  readonly #most: number;
  readonly #counts = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  isFull(key: string): boolean {
    return (this.#counts.get(key) ?? 0) >= this.#most;
  }

  /** @returns gives the place back, once; undefined when there are as many as there may be */
  take(key: string): (() => void) | undefined {
    if (this.isFull(key)) return undefined;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const left = this.#counts.get(key)! - 1;
      if (left === 0) this.#counts.delete(key);
      else this.#counts.set(key, left);
    };
  }
}

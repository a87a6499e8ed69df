/** A token bucket: so much at once, and so much per second after that. */

export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  /** On the clock of `performance.now`. */
  #filledAt: number;

  constructor(rate: Rate, now: number = performance.now()) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#filledAt = now;
  }

  /**
   * Takes tokens, all that are left when there are fewer.
   * @returns how many were missing
   */
  take(amount: number, now: number = performance.now()): number {
    this.#fill(now);
    const missing = Math.max(0, amount - this.#tokens);
    this.#tokens = Math.max(0, this.#tokens - amount);
    return missing;
  }

  /**
   * Takes tokens if there are enough, and none otherwise.
   * @returns whether there were enough
   */
  takeWhole(amount: number, now: number = performance.now()): boolean {
    this.#fill(now);
    if (this.#tokens < amount) return false;
    this.#tokens -= amount;
    return true;
  }

  #fill(now: number): void {
    const { burst, perSecond } = this.#rate;
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#filledAt) / 1000) * perSecond);
    this.#filledAt = now;
  }
}

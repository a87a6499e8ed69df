/** Limits for each address: how many of something it may hold at a time, and how often it may do something. */
import { addressKey } from "./addresses.ts";

/** Addresses that a rate is remembered for. With more, the one that was added first is forgotten. */
const maxRemembered = 10_000;

export class AddressShares {
  readonly #most: number;
  readonly #held = new Map<string, number>();

  /** @param most that one address may hold at a time */
  constructor(most: number) {
    this.#most = most;
  }

  /** @returns gives the place back, once; undefined when the address holds as many as it may */
  take(address: string): (() => void) | undefined {
    const key = addressKey(address);
    const held = this.#held.get(key) ?? 0;
    if (held >= this.#most) return undefined;
    this.#held.set(key, held + 1);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const left = (this.#held.get(key) ?? 1) - 1;
      if (left === 0) this.#held.delete(key);
      else this.#held.set(key, left);
    };
  }
}

/** A token bucket for each address. */
export class AddressRate {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  /** @param burst how many may come at once after a quiet time */
  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  /** @returns whether the address may do it once more now */
  take(address: string): boolean {
    const key = addressKey(address);
    const now = performance.now();
    const before = this.#buckets.get(key) ?? { tokens: this.#burst, at: now };
    const tokens = Math.min(this.#burst, before.tokens + ((now - before.at) / 1000) * this.#perSecond);
    const allowed = tokens >= 1;
    this.#buckets.set(key, { tokens: allowed ? tokens - 1 : tokens, at: now });
    if (this.#buckets.size > maxRemembered) this.#buckets.delete(this.#buckets.keys().next().value!);
    return allowed;
  }

  /** Takes back the last `take`: it was not one of those that are limited. */
  giveBack(address: string): void {
    const bucket = this.#buckets.get(addressKey(address));
    if (bucket !== undefined) bucket.tokens = Math.min(this.#burst, bucket.tokens + 1);
  }
}

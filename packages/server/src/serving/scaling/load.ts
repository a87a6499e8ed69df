/** Requests in flight over time: the average of any window up to a minute, from sums by second. */
import { stableWindow } from "./scale.ts";

const seconds = stableWindow / 1000;

export class Load {
  /** Of each of the last seconds: request-milliseconds. */
  readonly #sums = new Map<number, number>();
  readonly #since: number;
  #count = 0;
  #at: number;

  /** @param now milliseconds on any clock that does not go back */
  constructor(now: number) {
    this.#at = now;
    this.#since = now;
  }

  /** At this moment. */
  get current(): number {
    return this.#count;
  }

  change(by: 1 | -1, now: number): void {
    this.#advance(now);
    this.#count += by;
  }

  /** @param window milliseconds. What was before the first moment counts as nothing */
  average(window: number, now: number): number {
    this.#advance(now);
    const first = Math.ceil((now - window) / 1000);
    let sum = 0;
    for (const [second, value] of this.#sums) if (second >= first) sum += value;
    // The whole seconds of the window and the part of the present one.
    return sum / Math.max(1, now - first * 1000);
  }

  /** Whether it has been measured for the whole window. */
  covers(window: number, now: number): boolean {
    return now - this.#since >= window;
  }

  #advance(now: number): void {
    while (this.#at < now) {
      const second = Math.floor(this.#at / 1000);
      const until = Math.min(now, (second + 1) * 1000);
      // A long silence needs no sums.
      if (this.#count === 0 && now - this.#at > stableWindow) {
        this.#sums.clear();
        this.#at = now;
        return;
      }
      if (this.#count > 0) this.#sums.set(second, (this.#sums.get(second) ?? 0) + this.#count * (until - this.#at));
      this.#at = until;
      for (const old of this.#sums.keys()) {
        if (old >= second - seconds) break;
        this.#sums.delete(old);
      }
    }
  }
}

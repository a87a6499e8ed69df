/** Work that stores contents before a row names them: until it has ended, what was stored since it began is kept. */

/** Milliseconds by which the time of a file may be earlier than the clock: the kernel sets it at ticks. */
const tick = 50;

interface Work {
  /** Milliseconds since the epoch. */
  readonly began: number;
  /** The same moment, on the clock of `performance.now`. */
  readonly since: number;
}

export class Storing {
  readonly #works = new Set<Work>();

  get busy(): boolean {
    return this.#works.size > 0;
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    const one: Work = { began: Date.now(), since: performance.now() };
    this.#works.add(one);
    try {
      return await work();
    } finally {
      this.#works.delete(one);
    }
  }

  /** Milliseconds: older contents that no row names are not those of work in progress. The clock may have been set meanwhile. */
  get age(): number {
    const [now, clock] = [Date.now(), performance.now()];
    const ages = [...this.#works].map(({ began, since }) => Math.max(now - began, clock - since));
    return Math.max(0, ...ages) + tick;
  }
}

/**
 * Shares the event loop between organisations. In one turn of the loop each may use it for a few milliseconds; what is left of its work
 * runs in the next turn, after everybody else's. With only one organisation at work nothing waits for longer than that takes.
 */

/** Milliseconds that one organisation may use in one turn, at least; its last piece of work may take longer. */
const slice = 8;

export class Turns {
  readonly #spent = new Map<string, number>();
  #later: (() => void)[] = [];
  #scheduled = false;

  /** Whether there is time left in this turn. */
  hasTime(org: string): boolean {
    return (this.#spent.get(org) ?? 0) < slice;
  }

  /** @param milliseconds that the event loop worked for the organisation */
  spend(org: string, milliseconds: number): void {
    this.#spent.set(org, (this.#spent.get(org) ?? 0) + milliseconds);
    this.#schedule();
  }

  /** Runs `work` in the next turn. It asks for time again. */
  next(work: () => void): void {
    this.#later.push(work);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#spent.clear();
      const works = this.#later;
      this.#later = [];
      for (const work of works) work();
    });
  }
}

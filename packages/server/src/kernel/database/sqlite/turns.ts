/** Lets one writer after the other go, in the order in which they came. */
import { CaissonError } from "@caisson/protocol";
import { monotonicNow } from "./messages.ts";

interface Waiting {
  readonly go: () => void;
}

export class Turns {
  readonly #waiting = new Set<Waiting>();
  #taken = false;

  /**
   * Waits for a turn.
   * @param deadline milliseconds on the clock of `monotonicNow`
   * @returns ends the turn; further calls do nothing
   * @throws CaissonError `unavailable` when none came in time. Nothing was run then
   */
  async take(deadline: number): Promise<() => void> {
    if (this.#taken) await this.#wait(deadline);
    this.#taken = true;
    let done = false;
    return () => {
      if (done) return;
      done = true;
      this.#next();
    };
  }

  #wait(deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        go: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(
        () => {
          this.#waiting.delete(waiting);
          reject(new CaissonError("unavailable", "The database is busy with other changes. Try again."));
        },
        Math.max(0, deadline - monotonicNow()),
      );
      this.#waiting.add(waiting);
    });
  }

  /** The turn passes on at once: nobody who comes in between overtakes. */
  #next(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#taken = false;
      return;
    }
    this.#waiting.delete(next);
    next.go();
  }
}

/** Holds egress events until the control plane reads them: bounded, since a sandbox decides how many there are. */
import type { EgressBatch, EgressEvent } from "@caisson/protocol";

/** Events that wait for their reader. */
const mostWaiting = 20_000;

export class EgressEvents {
  #waiting: EgressEvent[] = [];
  #lost = 0;
  #wake = Promise.withResolvers<void>();

  add(events: readonly EgressEvent[], lost: number): void {
    const free = mostWaiting - this.#waiting.length;
    this.#waiting.push(...events.slice(0, free));
    this.#lost += lost + Math.max(0, events.length - free);
    this.#wake.resolve();
  }

  /** Batches as they come, until the signal aborts. One reader. */
  async *read(signal: AbortSignal): AsyncGenerator<EgressBatch> {
    const stop = () => this.#wake.resolve();
    signal.addEventListener("abort", stop, { once: true });
    try {
      while (!signal.aborted) {
        if (this.#waiting.length > 0 || this.#lost > 0) yield this.#take();
        else {
          this.#wake = Promise.withResolvers();
          await this.#wake.promise;
        }
      }
      // What came before the end is still read.
      if (this.#waiting.length > 0 || this.#lost > 0) yield this.#take();
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  #take(): EgressBatch {
    const batch = { events: this.#waiting, lost: this.#lost };
    this.#waiting = [];
    this.#lost = 0;
    return batch;
  }
}

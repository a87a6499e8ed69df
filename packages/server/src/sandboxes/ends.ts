/**
 * Ends of sandboxes: first the machine, then the row. The machine must end when nothing can be written, and a row that says `running`
 * without a machine can be found and corrected; a machine that nobody knows cannot. Each end is worked off until it has succeeded.
 * What is not recorded when this process ends is found by the next one, as rows without machines.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { within } from "../kernel/within.ts";

/** Milliseconds before an attempt is repeated: doubled from the first to the last. */
const [firstPause, lastPause] = [500, 5_000];

export interface End {
  readonly orgId: string | undefined;
  readonly reason: string;
  /** Milliseconds since the epoch. */
  readonly stoppedAt: number;
}

export interface EndsOptions {
  /** Ends the machine. Without database, idempotent. */
  readonly kill: (id: string) => Promise<void>;
  /** Gives back what the sandbox held, and writes that it has ended. Idempotent. */
  readonly record: (id: string, end: End) => Promise<void>;
  readonly log: Logger;
}

interface Entry extends End {
  readonly killed: Promise<void>;
  readonly recorded: Promise<void>;
}

export class Ends {
  readonly #options: EndsOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #closed = new AbortController();

  constructor(options: EndsOptions) {
    this.#options = options;
  }

  /** While a sandbox is being ended, and until that is recorded. */
  of(id: string): End | undefined {
    return this.#entries.get(id);
  }

  /** Begins an end, or returns the one that was begun before. */
  begin(id: string, orgId: string | undefined, reason: string): Entry {
    const known = this.#entries.get(id);
    if (known !== undefined) return known;
    const end = { orgId, reason, stoppedAt: Date.now() };
    const { kill, record } = this.#options;
    const killed = this.#untilDone(id, "the machine of a sandbox did not end; trying again", () => kill(id));
    const recorded = killed
      .then(() => this.#untilDone(id, "the end of a sandbox was not recorded; trying again", () => record(id, end)))
      .then(() => void this.#entries.delete(id));
    // Nobody has to wait for it. It is rejected only when this process ends.
    recorded.catch(() => {});
    const entry = { ...end, killed, recorded };
    this.#entries.set(id, entry);
    return entry;
  }

  async #untilDone(id: string, what: string, attempt: () => Promise<void>): Promise<void> {
    const { signal } = this.#closed;
    for (let pause = firstPause; ; pause = Math.min(2 * pause, lastPause)) {
      try {
        return await attempt();
      } catch (error) {
        this.#options.log[pause === firstPause ? "error" : "debug"]({ err: error, sandbox: id }, what);
      }
      await sleep(pause, undefined, { signal, ref: false });
    }
  }

  /** Waits until everything is recorded, at most `patience` milliseconds; then begins no attempt any more. */
  async close(patience: number): Promise<void> {
    const all = Promise.allSettled([...this.#entries.values()].map(({ recorded }) => recorded));
    await within(patience, all);
    this.#closed.abort();
    if (this.#entries.size > 0)
      this.#options.log.warn(
        { sandboxes: [...this.#entries.keys()] },
        "ends of sandboxes were not recorded; the next start does it",
      );
  }
}

/**
 * When sandboxes of this process end, on a clock that nobody sets. Rows hold the wall clock, because it survives restarts; but that clock
 * may be set by an hour while a sandbox runs, and then nothing may end early or stay.
 */
import type { SandboxRow } from "./store.ts";

type Row = Pick<SandboxRow, "id" | "stop_at">;

interface Deadline {
  /** As the row has it, epoch milliseconds. */
  readonly stopAt: number;
  /** On the clock of `performance.now`. */
  readonly at: number;
}

export class Deadlines {
  readonly #known = new Map<string, Deadline>();

  /** Remembers how long a sandbox may still run, counted from now. */
  set({ id, stop_at }: Row): void {
    if (stop_at === null) this.#known.delete(id);
    else this.#known.set(id, { stopAt: stop_at, at: performance.now() + stop_at - Date.now() });
  }

  delete(id: string): void {
    this.#known.delete(id);
  }

  /** Whether a sandbox has to end. Another server may have changed its row: the new end counts from now. */
  due(row: Row): boolean {
    if (row.stop_at !== this.#known.get(row.id)?.stopAt) this.set(row);
    const deadline = this.#known.get(row.id);
    return deadline !== undefined && deadline.at <= performance.now();
  }

  /** Sandboxes whose time is over, unless their rows have changed. */
  passed(): readonly string[] {
    const now = performance.now();
    return [...this.#known].filter(([, { at }]) => at <= now).map(([id]) => id);
  }
}

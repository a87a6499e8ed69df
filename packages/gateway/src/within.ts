import { CaissonError } from "@caisson/protocol";

/** A deadline for one step of a visit. `AbortSignal.any` with `AbortSignal.timeout` costs several times as much. */
export interface Within {
  /** Aborts with the reason of the first of `signals` that does, or with `late` when the time is over. */
  readonly signal: AbortSignal;
  /** What the step gives. When the time is over before it fails, it fails with `late`. Nothing aborts any more after it. */
  during<T>(step: Promise<T>): Promise<T>;
}

export function within(signals: readonly AbortSignal[], milliseconds: number, late: Error): Within {
  const controller = new AbortController();
  const abort = (event: Event) => controller.abort((event.target as AbortSignal).reason);
  const timer = setTimeout(() => controller.abort(late), milliseconds);
  for (const signal of signals) {
    if (signal.aborted) controller.abort(signal.reason);
    else signal.addEventListener("abort", abort);
  }
  const { signal: own } = controller;
  return {
    signal: own,
    async during(step) {
      try {
        return await step;
      } catch (error) {
        throw own.reason === late ? late : error;
      } finally {
        clearTimeout(timer);
        for (const signal of signals) signal.removeEventListener("abort", abort);
      }
    },
  };
}

// Reasons are made once: an error with its stack for each visit costs more than the rest of the abort.
export const tooSlow = new CaissonError("timeout", "The program in the sandbox did not accept the connection in time.");
export const visitorLeft = new Error("The visitor has disconnected, or has the whole answer.");

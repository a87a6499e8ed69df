/** Long work on the database in short steps. */
import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds. */
const shortestPause = 10;

/**
 * Repeats a short step until it answers that there is no more to do, or the signal aborts. After each step it waits as long as the step
 * took, so that others have the database for at least half of the time.
 * @param step one short transaction. Answers whether there may be more to do
 */
export async function inBatches(step: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const started = performance.now();
    if (!(await step())) return;
    const pause = Math.max(shortestPause, performance.now() - started);
    await sleep(pause, undefined, { signal }).catch(() => {});
  }
}

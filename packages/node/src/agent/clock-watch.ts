/** Notices that the host's wall clock went another way than its monotonic clock: it was set, or the host was suspended. */
import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds. */
const lookEveryMs = 500;
/** Guests may be off by less than a second; corrections that NTP spreads over hours add up to this once. Milliseconds. */
const toleranceMs = 200;

/** Runs until the signal aborts. Never rejects. */
export async function watchClock(onStep: () => void, signal: AbortSignal): Promise<void> {
  let known = offset();
  while (!signal.aborted) {
    await sleep(lookEveryMs, undefined, { signal, ref: false }).catch(() => undefined);
    const now = offset();
    if (signal.aborted || Math.abs(now - known) < toleranceMs) continue;
    known = now;
    onStep();
  }
}

function offset(): number {
  // oxlint-disable-next-line no-restricted-properties
  return Date.now() - performance.now();
}

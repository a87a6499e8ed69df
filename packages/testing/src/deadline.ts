/** Waiting that always ends: a condition or a promise, a limit, and words for what was waited for. */

/** Limits are written for a quiet host. One that is busy, or emulates its guests, may take this many times as long. */
const patience = Number(process.env["CAISSON_TEST_PATIENCE"] ?? 4);

/**
 * @param milliseconds on a quiet host; a busy one gets more
 * @throws Error when `promise` is still pending then; says what was waited for
 */
export async function within<T>(milliseconds: number, what: string, promise: PromiseLike<T>): Promise<T> {
  const limit = milliseconds * patience;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${limit} ms`)), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Asks again and again until the answer is neither undefined nor false.
 * @param milliseconds limit for the whole wait on a quiet host; a busy one gets more
 * @param interval pause between two questions, milliseconds
 */
export async function until<T>(
  milliseconds: number,
  what: string,
  question: () => T | undefined | false | Promise<T | undefined | false>,
  interval = 25,
): Promise<T> {
  const late = new AbortController();
  const asking = async (): Promise<T> => {
    while (!late.signal.aborted) {
      const answer = await question();
      if (answer !== undefined && answer !== false) return answer;
      await pause(interval);
    }
    // Nobody waits any more.
    return new Promise(() => undefined);
  };
  try {
    return await within(milliseconds, what, asking());
  } finally {
    late.abort();
  }
}

/** Only for intervals of repeated questions and for rates, never in place of a condition. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * How long one tenant may keep others waiting, milliseconds, in tests that run beside others: a busy host takes the processor away for
 * that long, and the faults that such a test finds take longer. `CAISSON_TEST_PAUSE=250` has the documented bound, for a quiet host.
 */
export const longestPause = Number(process.env["CAISSON_TEST_PAUSE"] ?? 2500);

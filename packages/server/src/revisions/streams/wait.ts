/**
 * Waits for news.
 * @param changed resolves when there are some
 * @param limit milliseconds
 * @returns false when there were none in time
 * @throws the reason of the signal
 */
export async function waitForNews(changed: Promise<void>, limit: number, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), limit);
  const onAbort = () => reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  void changed.then(() => resolve(true));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

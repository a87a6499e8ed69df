/**
 * Waits for something as long as it is wanted. Taking back what was begun may last longer than a client waits, so the client gets its
 * answer before.
 * @param discard gets what became ready all the same after the signal
 * @throws the reason of the signal, at once; what `making` throws
 */
export async function whileWanted<T>(making: Promise<T>, signal: AbortSignal, discard: (made: T) => void): Promise<T> {
  const unwanted = Promise.withResolvers<never>();
  const abort = () => {
    unwanted.reject(signal.reason);
    making.then(discard, () => undefined);
  };
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([making, unwanted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

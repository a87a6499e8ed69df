/** Spreads expensive tasks over turns of the event loop, so that other work runs in between. */

/**
 * @param most that may begin in one turn
 * @returns resolves when it is the caller's turn, in the order of the calls
 */
export function turns(most: number): () => Promise<void> {
  let begun = 0;
  let turning = false;
  const waiting: (() => void)[] = [];
  const next = (): void => {
    const now = waiting.splice(0, most);
    begun = now.length;
    turning = begun > 0;
    if (turning) setImmediate(next);
    for (const begin of now) begin();
  };
  return async () => {
    if (begun >= most) return await new Promise((resolve) => waiting.push(resolve));
    begun++;
    if (turning) return;
    turning = true;
    setImmediate(next);
  };
}

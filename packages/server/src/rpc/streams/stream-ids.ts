import { randomInt } from "node:crypto";

/**
 * Ids of streams and watchers. The JavaScript client has one table for its whole process (T4), so ids are unique over all
 * connections. They begin at a random number, so that ids from before a restart are hardly ever used again.
 */
let last = randomInt(2 ** 47);

export function nextStreamId(): number {
  return ++last;
}

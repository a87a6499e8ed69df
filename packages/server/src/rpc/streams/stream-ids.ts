import { randomInt } from "node:crypto";

/**
 * Ids of streams and watchers that the server makes. The JavaScript client keeps its tables for the whole process (T4), so ids
 * are unique over all connections, and unlikely to meet those of a server before a restart.
 */
let last = randomInt(2 ** 47);

export function nextStreamId(): number {
  return ++last;
}

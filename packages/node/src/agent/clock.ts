/** The host's wall clock as agents take it, nanoseconds since the Unix epoch. */
export function unixNanos(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6));
}

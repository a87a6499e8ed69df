/** The wall clock of the host in nanoseconds since the Unix epoch, the unit of the agent's contract. */
export function unixNanos(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6));
}

/** The wall clock of the host in nanoseconds since the Unix epoch, the unit of the agent's contract. As it is now: it may have been set. */
export function unixNanos(): bigint {
  // oxlint-disable-next-line no-restricted-properties
  return BigInt(Date.now()) * 1_000_000n;
}

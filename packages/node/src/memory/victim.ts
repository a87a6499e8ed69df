/** Which machine ends when the host's memory runs out. Pure. */

export interface Candidate {
  readonly id: string;
  /** Whose it is: machines of one owner share one part of the memory. */
  readonly owner: string;
  /** Bytes that it uses now. */
  readonly used: number;
}

/**
 * The heaviest machine of the owner that is most over its share. All owners have equal shares, so that is the owner that uses most. The
 * kernel would take the process with the highest score, whoever caused the shortage.
 */
export function chooseVictim<T extends Candidate>(machines: readonly T[]): T | undefined {
  const sums = new Map<string, number>();
  for (const { owner, used } of machines) sums.set(owner, (sums.get(owner) ?? 0) + used);
  const [most] = [...sums].toSorted(([, a], [, b]) => b - a);
  return machines.filter(({ owner }) => owner === most?.[0]).toSorted((a, b) => b.used - a.used)[0];
}

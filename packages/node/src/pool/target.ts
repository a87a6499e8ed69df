/** How many clones to keep ready. */
import type { Config } from "@caisson/protocol";

/** Memory that one paused clone takes on the host, MiB: 45 to 80 under emulation, and a margin. */
const cloneMebibytes = 96;

export interface PoolSituation {
  readonly config: Pick<Config["pool"], "size" | "minFreeMemory">;
  /** Free memory of the host, MiB. */
  readonly available: number;
  readonly pooled: number;
  /** Machines asked for within the last minute. */
  readonly demand: number;
}

/** The configured size, up to twice as many while demand is higher, and never more than free memory allows. */
export function poolTarget({ config, available, pooled, demand }: PoolSituation): number {
  if (config.size === 0) return 0;
  const wanted = Math.min(Math.max(config.size, demand), config.size * 2);
  // Clones in the pool have their memory already.
  const room = pooled + Math.floor((available - config.minFreeMemory) / cloneMebibytes);
  return Math.max(0, Math.min(wanted, room));
}

/** Whether there is enough memory to prepare a clone on a root disk, or to keep the prepared ones. */
export function hasMemoryToPrepare(
  minFreeMemory: number,
  { available, making }: { readonly available: number; readonly making: boolean },
): boolean {
  return available - (making ? cloneMebibytes : 0) >= minFreeMemory;
}

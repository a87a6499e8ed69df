import type { Config } from "@caisson/protocol";

/** MiB that a machine of the platform's own gets: what is wanted, as far as sandboxes may have it. Nodes refuse the rest. */
export function machineMemory(wanted: number, { memoryMin, memoryMax }: Config["sandbox"]): number {
  return Math.min(Math.max(wanted, memoryMin), memoryMax);
}

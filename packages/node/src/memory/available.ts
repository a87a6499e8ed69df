/** Refuses a machine that would take the memory that the host has left. */
import { availableMebibytes } from "@caisson/linux";
import { CaissonError } from "@caisson/protocol";

/**
 * @param mebibytes of the machine
 * @param reserve `sandbox.memoryReserve`, MiB
 * @throws CaissonError `resource_exhausted`
 */
export async function requireMemory(mebibytes: number, reserve: number): Promise<void> {
  const available = await availableMebibytes();
  if (available - reserve < mebibytes) {
    throw new CaissonError(
      "resource_exhausted",
      `The node has ${available} MiB of free memory and keeps ${reserve} MiB of it (\`sandbox.memoryReserve\`). That is not enough for a sandbox of ${mebibytes} MiB. End another sandbox, or ask for less memory.`,
    );
  }
}

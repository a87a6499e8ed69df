/** Chooses the template for a size of sandbox. */
import type { Config } from "@caisson/protocol";
import type { Accelerator, VmShape } from "../driver/driver.ts";

/** Memory that the guest's kernel reserves and `free` does not count, MiB: a fixed part, and a part per MiB for page tables. Measured. */
const kernelShare = { fixed: 108, perMebibyte: 1 / 64 } as const;

/**
 * There are two templates, for the default size and for the smallest: further memory is plugged in. That costs time and
 * memory for page tables, so most sandboxes should not need it.
 * @param memory MiB
 */
export function shapeFor(
  vcpus: number,
  memory: number,
  { memoryMin, memoryDefault, memoryMax }: Pick<Config["sandbox"], "memoryMin" | "memoryDefault" | "memoryMax">,
  accelerator: Accelerator,
): VmShape {
  const smallest = memory < memoryDefault ? memoryMin : memoryDefault;
  return {
    vcpus,
    baseMemory: roundUp(smallest + kernelShare.fixed + smallest * kernelShare.perMebibyte, 2),
    // A margin for rounding, and for kernels that reserve a little more.
    pluggableMemory: roundUp(memoryMax - smallest + 64, 128),
    accelerator,
  };
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

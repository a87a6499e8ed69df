/** Which template a sandbox of some size resumes from. */
import type { Config } from "@caisson/protocol";
import type { Accelerator, VmShape } from "../driver/driver.ts";

/** What the guest's kernel keeps of its memory before `free` counts it, MiB: of any size, and per MiB for its books. Measured. */
const kernelShare = { fixed: 108, perMebibyte: 1 / 64 } as const;

/**
 * There are two templates, for the default size and for the smallest: what a sandbox wants beyond is plugged in, which costs it
 * time and memory for the kernel's books, so most sandboxes should not need it.
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
    // Room for rounding, and for kernels that keep a little more.
    pluggableMemory: roundUp(memoryMax - smallest + 64, 128),
    accelerator,
  };
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

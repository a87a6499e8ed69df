/** What a machine may take of its host, from what its guest was given. */
import type { CgroupLimits } from "../cgroup/cgroup.ts";
import type { VmShape } from "../driver/driver.ts";

/** The monitor beside guest memory: its code and heap, page cache of its disks, and under emulation the translated code. MiB. */
const overhead = { kvm: 192, tcg: 192 + 384 } as const;
/** Threads: monitor, virtual processors, up to 64 for disk requests. */
const tasks = 128;

/** @param memory of the guest, MiB */
export function machineLimits(shape: VmShape, memory: number): CgroupLimits {
  return {
    cpus: shape.vcpus,
    memoryBytes: (memory + overhead[shape.accelerator]) * 2 ** 20,
    tasks: tasks + shape.vcpus,
  };
}

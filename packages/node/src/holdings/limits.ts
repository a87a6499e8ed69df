/** Limits for the processes of a machine, computed from the size of its guest. */
import type { CgroupLimits } from "../cgroup/cgroup.ts";
import type { VmShape } from "../driver/driver.ts";

/** Memory of the monitor besides the guest's: code, heap, page cache of its disks, and under emulation the translated code. MiB. */
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

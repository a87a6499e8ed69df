/** Limits and accounting of a machine's processes, for both versions of cgroups. */

export interface CgroupLimits {
  /** Processor time per time, in processors. */
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Processes and threads. */
  readonly tasks: number;
}

/** `background` is for clones that nobody waits for. */
export type CpuPriority = "normal" | "background";

export interface Cgroup {
  /** Stored in the machine's record. Empty when the host offers no cgroups. */
  readonly directories: readonly string[];
  /** A process that writes `0` into each of these has joined. */
  readonly joinFiles: readonly string[];
  setPriority(priority: CpuPriority): Promise<void>;
  setMemoryLimit(bytes: number): Promise<void>;
  /** Processor time of all its processes so far; undefined when the host does not count it. */
  cpuMicros(): Promise<number | undefined>;
  /** Kills what is left inside and removes the group. Idempotent. */
  destroy(): Promise<void>;
}

export interface Cgroups {
  readonly kind: "v2" | "v1" | "none";
  create(name: string, limits: CgroupLimits): Promise<Cgroup>;
  /** The group of an earlier process. */
  open(directories: readonly string[]): Cgroup;
  /** Names of all groups that exist with this prefix. */
  list(prefix: string): Promise<readonly string[]>;
  /** The group with this name, whoever made it. */
  named(name: string): Cgroup;
}

/** The directory, below a hierarchy, that holds all groups of ours. */
export const groupDirectory = "caisson";

/**
 * Share of the disk, where the host's scheduler has weights. `all` is for the group of all machines together, beside the kernel's default
 * of 100 for everything else: the database of the server flushes to the same disk. The others are shares within that group.
 */
export const ioWeight = { all: 25, normal: 100, background: 10 } as const;

/** Length of a scheduling period, microseconds: the kernel's default. */
export const cpuPeriodMicros = 100_000;

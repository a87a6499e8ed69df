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

/** Length of a scheduling period, microseconds: the kernel's default. */
export const cpuPeriodMicros = 100_000;

/** For hosts without usable cgroups: machines run without limits, and processor time is read from the process. */
import type { Cgroup, Cgroups } from "./cgroup.ts";

const nothing: Cgroup = {
  directories: [],
  joinFiles: [],
  setPriority: () => Promise.resolve(),
  setMemoryLimit: () => Promise.resolve(),
  cpuMicros: () => Promise.resolve(undefined),
  destroy: () => Promise.resolve(),
};

export const noCgroups: Cgroups = {
  kind: "none",
  create: () => Promise.resolve(nothing),
  open: () => nothing,
  list: () => Promise.resolve([]),
  named: () => nothing,
};

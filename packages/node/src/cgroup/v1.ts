/** cgroup version 1, also as the hybrid layout: one hierarchy per controller. Documentation/admin-guide/cgroup-v1 of the kernel. */
import { constants } from "node:fs";
import { access, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Cgroup, type Cgroups, cpuPeriodMicros, groupDirectory } from "./cgroup.ts";
import { groupsIn, removeGroup } from "./directory.ts";

const controllers = ["cpu", "cpuacct", "memory", "pids"] as const;
type Controller = (typeof controllers)[number];
const shares = { normal: "1024", background: "128" } as const;

/** @param hierarchies mount point of each controller's hierarchy; controllers may share one */
export async function createV1(hierarchies: ReadonlyMap<string, string>): Promise<Cgroups> {
  const bases = new Map<Controller, string>();
  for (const controller of controllers) {
    const hierarchy = hierarchies.get(controller);
    if (hierarchy === undefined) throw new Error(`the host has no ${controller} hierarchy`);
    const base = join(hierarchy, groupDirectory);
    await mkdir(base, { recursive: true });
    // Another user may have made it.
    await access(base, constants.W_OK);
    bases.set(controller, base);
  }
  const baseOf = (controller: Controller) => bases.get(controller) ?? "";
  const uniqueBases = [...new Set(bases.values())];

  const open = (directories: readonly string[]): Cgroup => {
    const inside = (controller: Controller) => {
      const [first = ""] = directories;
      return join(baseOf(controller), basename(first));
    };
    return {
      directories,
      joinFiles: directories.map((group) => join(group, "cgroup.procs")),
      setPriority: (priority) => writeFile(join(inside("cpu"), "cpu.shares"), shares[priority]),
      setMemoryLimit: (bytes) => writeFile(join(inside("memory"), "memory.limit_in_bytes"), String(bytes)),
      cpuMicros: async () =>
        Math.round(Number(await readFile(join(inside("cpuacct"), "cpuacct.usage"), "latin1")) / 1000),
      destroy: async () => {
        await Promise.all(directories.map((directory) => removeGroup(directory)));
      },
    };
  };

  return {
    kind: "v1",
    create: async (name, limits) => {
      const directories = uniqueBases.map((base) => join(base, name));
      const made: string[] = [];
      const write = (controller: Controller, file: string, value: string | number) =>
        writeFile(join(baseOf(controller), name, file), String(value));
      try {
        for (const directory of directories) {
          await mkdir(directory);
          made.push(directory);
        }
        await write("cpu", "cpu.cfs_period_us", cpuPeriodMicros);
        await write("cpu", "cpu.cfs_quota_us", Math.round(limits.cpus * cpuPeriodMicros));
        await write("memory", "memory.limit_in_bytes", limits.memoryBytes);
        await write("pids", "pids.max", limits.tasks);
      } catch (error) {
        await Promise.all(made.map((directory) => removeGroup(directory)));
        throw error;
      }
      return open(directories);
    },
    open,
    list: async (prefix) => {
      const found = await Promise.all(uniqueBases.map((base) => groupsIn(base, prefix)));
      return [...new Set(found.flat())];
    },
    named: (name) => open(uniqueBases.map((base) => join(base, name))),
  };
}

/** Mount points of version 1 hierarchies by controller, from `/proc/self/mounts`, proc_pid_mounts(5). */
export function v1Hierarchies(mounts: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of mounts.split("\n")) {
    const [, point, type, options] = line.split(" ");
    if (type !== "cgroup" || point === undefined || options === undefined) continue;
    for (const option of options.split(",")) {
      if (controllers.includes(option as Controller) && !found.has(option)) found.set(option, point);
    }
  }
  return found;
}

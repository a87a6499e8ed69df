/** cgroup version 2: one hierarchy. Documentation/admin-guide/cgroup-v2.rst of the kernel names the files. */
import { constants } from "node:fs";
import { access, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Cgroup, type Cgroups, cpuPeriodMicros, groupDirectory } from "./cgroup.ts";
import { groupsIn, removeGroup } from "./directory.ts";

const controllers = ["cpu", "memory", "pids"] as const;
const weight = { normal: "100", background: "12" } as const;

/** @param parent a group that holds no process itself and that we may write to */
export async function createV2(parent: string): Promise<Cgroups> {
  const base = join(parent, groupDirectory);
  const available = (await readFile(join(parent, "cgroup.controllers"), "latin1")).trim().split(/\s+/);
  const missing = controllers.filter((name) => !available.includes(name));
  if (missing.length > 0) throw new Error(`controllers ${missing.join(", ")} are not available in ${parent}`);
  await mkdir(base, { recursive: true });
  // Another user may have made it.
  await access(base, constants.W_OK);
  const enable = controllers.map((name) => `+${name}`).join(" ");
  // A controller works in a group only when every group above it passes it down.
  await writeFile(join(parent, "cgroup.subtree_control"), enable);
  await writeFile(join(base, "cgroup.subtree_control"), enable);

  const open = (directories: readonly string[]): Cgroup => {
    const [directory = ""] = directories;
    return {
      directories,
      joinFiles: directories.map((group) => join(group, "cgroup.procs")),
      setPriority: (priority) => writeFile(join(directory, "cpu.weight"), weight[priority]),
      setMemoryLimit: (bytes) => writeFile(join(directory, "memory.max"), String(bytes)),
      cpuMicros: async () => {
        const stat = await readFile(join(directory, "cpu.stat"), "latin1");
        const micros = /^usage_usec (\d+)$/m.exec(stat)?.[1];
        return micros === undefined ? undefined : Number(micros);
      },
      destroy: async () => {
        // Linux 5.14 and newer: kills all at once, forks included.
        await writeFile(join(directory, "cgroup.kill"), "1", { flag: "r+" }).catch(() => undefined);
        await removeGroup(directory);
      },
    };
  };

  return {
    kind: "v2",
    create: async (name, limits) => {
      const directory = join(base, name);
      await mkdir(directory);
      const write = (file: string, value: string | number) => writeFile(join(directory, file), String(value));
      try {
        await write("cpu.max", `${Math.round(limits.cpus * cpuPeriodMicros)} ${cpuPeriodMicros}`);
        await write("memory.max", limits.memoryBytes);
        await write("memory.oom.group", 1);
        await write("pids.max", limits.tasks);
      } catch (error) {
        await removeGroup(directory);
        throw error;
      }
      // Absent on hosts without swap accounting.
      await write("memory.swap.max", 0).catch(() => undefined);
      return open([directory]);
    },
    open,
    list: (prefix) => groupsIn(base, prefix),
    named: (name) => open([join(base, name)]),
  };
}

/** cgroup version 2: one hierarchy. Documentation/admin-guide/cgroup-v2.rst of the kernel names the files. */
import { constants } from "node:fs";
import { access, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Cgroup, type Cgroups, cpuPeriodMicros, groupDirectory, ioWeight } from "./cgroup.ts";
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
  const weights = available.includes("io");
  // A controller works in a group only when every group above it passes it down.
  for (const group of [parent, base]) {
    const file = join(group, "cgroup.subtree_control");
    // All or none are enabled by one write. Weights are worth having, but not every host passes them on.
    await writeFile(file, weights ? `${enable} +io` : enable).catch((error: unknown) => {
      if (!weights) throw error;
      return writeFile(file, enable);
    });
  }
  if (weights) await setWeight(base, ioWeight.all);

  const open = (directories: readonly string[]): Cgroup => {
    const [directory = ""] = directories;
    return {
      directories,
      joinFiles: directories.map((group) => join(group, "cgroup.procs")),
      setPriority: async (priority) => {
        await Promise.all([
          writeFile(join(directory, "cpu.weight"), weight[priority]),
          weights && setWeight(directory, ioWeight[priority]),
        ]);
      },
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

async function setWeight(group: string, weight: number): Promise<void> {
  // `r+`: a file of the kernel, which exists or does not. BFQ has a file of its own.
  await Promise.all(
    ["io.weight", "io.bfq.weight"].map((file) =>
      writeFile(join(group, file), String(weight), { flag: "r+" }).catch(() => undefined),
    ),
  );
}

/** cgroup version 1, also as the hybrid layout: one hierarchy per controller. Documentation/admin-guide/cgroup-v1 of the kernel. */
import { constants } from "node:fs";
import { access, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Cgroup, type Cgroups, cpuPeriodMicros, groupDirectory, ioWeight } from "./cgroup.ts";
import { groupsIn, removeGroup } from "./directory.ts";

const controllers = ["cpu", "cpuacct", "memory", "pids"] as const;
type Controller = (typeof controllers)[number];
const shares = { normal: "1024", background: "128" } as const;
/** Optional: only the BFQ scheduler has weights. See `ioWeight`. */
const weightController = "blkio";

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
  const weights = await weightDirectory(hierarchies.get(weightController));
  const baseOf = (controller: Controller) => bases.get(controller) ?? "";
  const uniqueBases = [...new Set([...bases.values(), ...(weights === undefined ? [] : [weights])])];

  const open = (directories: readonly string[]): Cgroup => {
    const inside = (controller: Controller) => {
      const [first = ""] = directories;
      return join(baseOf(controller), basename(first));
    };
    return {
      directories,
      joinFiles: directories.map((group) => join(group, "cgroup.procs")),
      setPriority: async (priority) => {
        const name = basename(directories[0] ?? "");
        const weight = weights === undefined ? undefined : join(weights, name, weightFile);
        await Promise.all([
          writeFile(join(inside("cpu"), "cpu.shares"), shares[priority]),
          weight !== undefined && writeFile(weight, String(ioWeight[priority]), { flag: "r+" }).catch(() => undefined),
        ]);
      },
      setMemoryLimit: (bytes) => limitMemory(inside("memory"), bytes),
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
        await limitMemory(join(baseOf("memory"), name), limits.memoryBytes);
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

const weightFile = "blkio.bfq.weight";

/** The directory of our groups in the blkio hierarchy, with the weight of all of them together; undefined where there are no weights. */
async function weightDirectory(hierarchy: string | undefined): Promise<string | undefined> {
  if (hierarchy === undefined) return undefined;
  const base = join(hierarchy, groupDirectory);
  try {
    await mkdir(base, { recursive: true });
    // `r+`: a file of the kernel, which exists or does not.
    await writeFile(join(base, weightFile), String(ioWeight.all), { flag: "r+" });
    return base;
  } catch {
    return undefined;
  }
}

/**
 * Sets the limit of memory, and the same limit of memory and swap together: so nothing is swapped. The kernel insists that the second
 * is never below the first, so which goes first depends on the direction.
 */
async function limitMemory(group: string, bytes: number): Promise<void> {
  const memory = join(group, "memory.limit_in_bytes");
  const withSwap = join(group, "memory.memsw.limit_in_bytes");
  const set = async (file: string) => writeFile(file, String(bytes), { flag: "r+" });
  const present = await access(withSwap).then(
    () => true,
    () => false,
  );
  if (!present) {
    await writeFile(memory, String(bytes));
    // Without swap accounting: swapping is the last resort at least.
    await writeFile(join(group, "memory.swappiness"), "0", { flag: "r+" }).catch(() => undefined);
    return;
  }
  try {
    await set(memory);
    await set(withSwap);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EINVAL") throw error;
    await set(withSwap);
    await set(memory);
  }
}

/** Mount points of version 1 hierarchies by controller, from `/proc/self/mounts`, proc_pid_mounts(5). */
export function v1Hierarchies(mounts: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of mounts.split("\n")) {
    const [, point, type, options] = line.split(" ");
    if (type !== "cgroup" || point === undefined || options === undefined) continue;
    for (const option of options.split(",")) {
      const known = option === weightController || controllers.includes(option as Controller);
      if (known && !found.has(option)) found.set(option, point);
    }
  }
  return found;
}

/** What the machines of a home hold on the host: records, processes, directories, control groups. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { cgroupsOf, descendants, isAlive, type HostProcess, processes } from "@caisson/testing";

export interface MachineFile {
  readonly key: string;
  /** `starting`, `pooled`, `claimed`; undefined when the record cannot be read. */
  readonly phase: string | undefined;
  /** Id of the sandbox. */
  readonly machineId: string | undefined;
  /** Its end has begun. A server that starts ends it a while later. */
  readonly ending: boolean;
  readonly pid: number | undefined;
  readonly alive: boolean;
}

export function recordPath(home: string, key: string): string {
  return join(home, "run", key, "machine.json");
}

export function machineFiles(home: string): readonly MachineFile[] {
  return entries(join(home, "run")).map((key) => {
    try {
      const record = JSON.parse(readFileSync(recordPath(home, key), "utf8")) as {
        phase: string;
        machineId?: string;
        ending?: boolean;
        process?: { pid: number; startTime: string };
      };
      const { phase, machineId, ending = false, process } = record;
      const alive = process !== undefined && isAlive({ pid: process.pid, started: process.startTime });
      return { key, phase, machineId, ending, pid: process?.pid, alive };
    } catch {
      return { key, phase: undefined, machineId: undefined, ending: false, pid: undefined, alive: false };
    }
  });
}

/** Names in a directory, none when it does not exist. */
export function entries(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/**
 * Processes of the machines of a home, by key. The outer process of a jail names the directory of the machine's disks; QEMU inside has
 * that directory mounted, which is all that shows whose it is when the outer process is gone.
 */
export function monitors(home: string): ReadonlyMap<string, readonly HostProcess[]> {
  const found = new Map<string, HostProcess[]>();
  const disks = `${join(home, "disks")}/`;
  const device = deviceOf(home);
  for (const candidate of processes()) {
    const at = candidate.command.indexOf(disks);
    const outer = at !== -1 && /(^|\/)(bwrap|sh|setpriv) /.test(candidate.command);
    const key = outer
      ? candidate.command.slice(at + disks.length).split(/[\s/,]/)[0]
      : /^\S*qemu-system/.test(candidate.command)
        ? mountedKey(candidate.pid, device, disks)
        : undefined;
    if (key !== undefined) found.set(key, [...(found.get(key) ?? []), candidate]);
  }
  return found;
}

/** `major:minor`, as in mountinfo. */
function deviceOf(path: string): string {
  const { dev } = statSync(path);
  return `${dev >> 8}:${dev & 0xff}`;
}

/** proc_pid_mountinfo(5): the third field is the device, the fourth the directory in its file system, the fifth where it is mounted. */
function mountedKey(pid: number, device: string, disks: string): string | undefined {
  try {
    for (const line of readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n")) {
      const [, , on, root = "", point] = line.split(" ");
      if (point !== "/disks" || on !== device) continue;
      const key = basename(root);
      // The home may be a file system of its own, or a directory of one.
      return root === `/disks/${key}` || root.endsWith(disks + key) ? key : undefined;
    }
  } catch {
    // It ended in the meantime.
  }
  return undefined;
}

/** Egress workers below a server. */
export function egressWorkers(server: number): readonly HostProcess[] {
  return descendants(server).filter(({ command }) => command.includes("packages/egress/src/worker/main.ts"));
}

/** Keys of the machines that have control groups. */
export function groupKeys(home: string): readonly string[] {
  return [...new Set(cgroupsOf(home).map((path) => basename(path).replace(/^[0-9a-f]{8}-/, "")))];
}

/** What the machines of a home hold on the host: records, processes, directories, control groups. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { cgroupsOf, descendants, isAlive, type HostProcess, processes } from "@caisson/testing";

export interface MachineFile {
  readonly key: string;
  /** `starting`, `pooled`, `claimed`; undefined when the record cannot be read. */
  readonly phase: string | undefined;
  /** Id of the sandbox. */
  readonly machineId: string | undefined;
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
        process?: { pid: number; startTime: string };
      };
      const { phase, machineId, process } = record;
      const alive = process !== undefined && isAlive({ pid: process.pid, started: process.startTime });
      return { key, phase, machineId, pid: process?.pid, alive };
    } catch {
      return { key, phase: undefined, machineId: undefined, pid: undefined, alive: false };
    }
  });
}

/** Names in a directory, none when it does not exist. */
export function entries(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** Monitors of a home: the outer process of each jail names the directory of the machine's disks. By key. */
export function monitors(home: string): ReadonlyMap<string, readonly HostProcess[]> {
  const found = new Map<string, HostProcess[]>();
  const disks = `${join(home, "disks")}/`;
  for (const candidate of processes()) {
    const at = candidate.command.indexOf(disks);
    if (at === -1 || !/(^|\/)(bwrap|sh|qemu\S*) /.test(candidate.command)) continue;
    const key = candidate.command.slice(at + disks.length).split(/[\s/,]/)[0] ?? "";
    found.set(key, [...(found.get(key) ?? []), candidate]);
  }
  return found;
}

/** Egress workers below a server. */
export function egressWorkers(server: number): readonly HostProcess[] {
  return descendants(server).filter(({ command }) => command.includes("packages/egress/src/worker/main.ts"));
}

/** Keys of the machines that have control groups. */
export function groupKeys(home: string): readonly string[] {
  return [...new Set(cgroupsOf(home).map((path) => basename(path).replace(/^[0-9a-f]{8}-/, "")))];
}

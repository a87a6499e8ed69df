/** Counts what an installation holds on the host, so that a test can show that it gives everything back. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { descendants, processesNaming } from "./process-table.ts";

export interface Holdings {
  readonly processes: readonly string[];
  readonly mounts: readonly string[];
  readonly sockets: readonly string[];
  readonly cgroups: readonly string[];
  readonly loopDevices: readonly string[];
}

/** Everything on the host that names the directory of an installation, or belongs to one of its sandboxes. */
export function holdings(home: string): Holdings {
  const sockets = readFileSync("/proc/net/unix", "utf8")
    .split("\n")
    .filter((line) => line.includes(home))
    .map((line) => line.trim().split(/\s+/).at(-1) ?? "");
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(home));
  return {
    processes: processesNaming(home).map((process) => `${process.pid} ${process.command.slice(0, 120)}`),
    mounts,
    sockets,
    cgroups: cgroupsOf(home),
    loopDevices: loopDevices(home),
  };
}

/**
 * Control groups of an installation's machines, in version 2 and in every version 1 hierarchy. Their names begin with a digest of
 * the home's path, so that installations on one host stay apart.
 */
export function cgroupsOf(home: string): string[] {
  const prefix = `${createHash("sha256").update(home).digest("hex").slice(0, 8)}-`;
  const root = "/sys/fs/cgroup";
  const found: string[] = [];
  const visit = (directory: string, depth: number): void => {
    let entries: string[];
    try {
      entries = readdirSync(directory, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => entry.name);
    } catch {
      return;
    }
    for (const name of entries) {
      const path = join(directory, name);
      if (name.startsWith(prefix)) found.push(path);
      else if (depth < 6) visit(path, depth + 1);
    }
  };
  visit(root, 0);
  return found;
}

function loopDevices(home: string): string[] {
  const found: string[] = [];
  for (const name of existsSync("/sys/block") ? readdirSync("/sys/block") : []) {
    const file = `/sys/block/${name}/loop/backing_file`;
    if (name.startsWith("loop") && existsSync(file) && readFileSync(file, "utf8").includes(home)) found.push(name);
  }
  return found;
}

export interface ProcessCounters {
  readonly fileDescriptors: number;
  readonly children: number;
  /** Resident memory of the process itself, bytes. */
  readonly residentBytes: number;
  /** Largest resident memory so far, bytes. */
  readonly peakResidentBytes: number;
}

/** @throws Error when the process is gone */
export function processCounters(pid: number): ProcessCounters {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kibibytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  return {
    fileDescriptors: readdirSync(`/proc/${pid}/fd`).length,
    children: descendants(pid).length,
    residentBytes: kibibytes("VmRSS") * 1024,
    peakResidentBytes: kibibytes("VmHWM") * 1024,
  };
}

/** Open files of a process, for the message when a counter does not come back. */
export function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "?";
    }
  });
}

/** Processes of this host, read from /proc: who descends from whom, and who belongs to an installation. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface HostProcess {
  readonly pid: number;
  readonly parent: number;
  /** Clock ticks since boot; with the pid it names a process for good. */
  readonly started: string;
  readonly state: string;
  readonly command: string;
}

export function processes(): HostProcess[] {
  const found: HostProcess[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const process = readProcess(Number(entry));
    if (process !== undefined && process.state !== "Z") found.push(process);
  }
  return found;
}

export function readProcess(pid: number): HostProcess | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the name in parentheses and may hold anything, also spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
    return { pid, parent: Number(fields[1]), started: fields[19] ?? "", state: fields[0] ?? "", command };
  } catch {
    return undefined;
  }
}

export function isAlive(process: Pick<HostProcess, "pid" | "started">): boolean {
  const now = readProcess(process.pid);
  return now !== undefined && now.started === process.started && now.state !== "Z";
}

/** All processes below `pid`, not `pid` itself. */
export function descendants(pid: number): HostProcess[] {
  const all = processes();
  const found = new Map<number, HostProcess>();
  for (let grown = true; grown;) {
    grown = false;
    for (const process of all) {
      if (!found.has(process.pid) && (process.parent === pid || found.has(process.parent))) {
        found.set(process.pid, process);
        grown = true;
      }
    }
  }
  return [...found.values()];
}

/** Processes that name `directory` in their arguments, their environment or their working directory. Never this process. */
export function processesNaming(directory: string): HostProcess[] {
  return processes().filter((candidate) => {
    if (candidate.pid === process.pid) return false;
    if (candidate.command.includes(directory)) return true;
    return (
      tryRead(() => readFileSync(`/proc/${candidate.pid}/environ`, "utf8")).includes(`=${directory}`) ||
      tryRead(() => readlinkSync(`/proc/${candidate.pid}/cwd`)).startsWith(directory)
    );
  });
}

function tryRead(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}

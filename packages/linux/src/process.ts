/** A process id alone can be reused; together with the start time it names one process until the host reboots. */
import { readFile, readdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of `/proc/<pid>/stat`, proc_pid_stat(5): clock ticks since boot. */
  readonly startTime: string;
  /** `/proc/sys/kernel/random/boot_id`: start times of different boots cannot be compared. */
  readonly bootId: string;
}

/** @returns undefined when there is no such process, or only its zombie */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const [stat, bootId] = await Promise.all([readFile(`/proc/${pid}/stat`, "latin1"), readBootId()]);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state] = fields;
    const startTime = fields[19];
    if (state === "Z" || state === "X" || startTime === undefined) return undefined;
    return { pid, startTime, bootId };
  } catch {
    return undefined;
  }
}

export async function readBootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "latin1")).trim();
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  const now = await identifyProcess(identity.pid);
  return now !== undefined && now.startTime === identity.startTime && now.bootId === identity.bootId;
}

/** Sends SIGKILL to exactly this process and waits for its end. @returns whether it has ended */
export async function killProcess(identity: ProcessIdentity, deadlineMs = 5000): Promise<boolean> {
  const end = performance.now() + deadlineMs;
  for (let pause = 2; await isAlive(identity); pause = Math.min(pause * 2, 100)) {
    if (performance.now() > end) return false;
    try {
      process.kill(identity.pid, "SIGKILL");
    } catch {
      return !(await isAlive(identity));
    }
    await sleep(pause);
  }
  return true;
}

/**
 * Ends a process that may start children at any moment, and its children, but not theirs. It is stopped first, so that no child is missed.
 * @returns whether all have ended
 */
export async function killWithChildren(parent: ProcessIdentity): Promise<boolean> {
  if (!(await isAlive(parent))) return true;
  try {
    process.kill(parent.pid, "SIGSTOP");
  } catch {
    return !(await isAlive(parent));
  }
  // The signal takes effect a moment later.
  for (let pause = 1; pause < 512 && (await statOf(parent.pid))?.state !== "T"; pause *= 2) await sleep(pause);
  const gone: boolean[] = [];
  for (const pid of await processIds()) {
    if ((await statOf(pid))?.parent !== parent.pid) continue;
    const child = await identifyProcess(pid);
    if (child !== undefined) gone.push(await killProcess(child));
  }
  gone.push(await killProcess(parent));
  return gone.every(Boolean);
}

/** All processes that this one can see. */
export async function processIds(): Promise<readonly number[]> {
  return (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
}

async function statOf(pid: number): Promise<{ readonly state: string; readonly parent: number } | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => undefined);
  if (stat === undefined) return undefined;
  const [state = "", parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { state, parent: Number(parent) };
}

/** Processor time of a process so far, in microseconds. `/proc` counts in ticks of 10 ms (USER_HZ is 100 on every Linux of ours). */
export async function processCpuMicros(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** Proportional set size in bytes: shared pages count by their share. */
export async function processMemoryBytes(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "latin1");
  const kilobytes = /^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1];
  return Number(kilobytes ?? 0) * 1024;
}

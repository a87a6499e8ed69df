/** Shared by both cgroup versions: a group is a directory, and it can be removed only when no process is in it. */
import { readFile, readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export async function processesIn(directory: string): Promise<readonly number[]> {
  try {
    const text = await readFile(join(directory, "cgroup.procs"), "latin1");
    return text.split("\n").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

export async function killProcessesIn(directory: string): Promise<void> {
  for (const pid of await processesIn(directory)) {
    // 0 is a process of another pid namespace, 1 would be somebody's init.
    if (pid <= 1 || pid === process.pid) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended meanwhile.
    }
  }
}

/** Removes a group, killing what is in it, for up to `deadlineMs`. @returns whether it is gone */
export async function removeGroup(directory: string, deadlineMs = 5000): Promise<boolean> {
  const end = performance.now() + deadlineMs;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    try {
      await rmdir(directory);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return true;
      if (code !== "EBUSY" || performance.now() > end) return false;
    }
    await killProcessesIn(directory);
    await sleep(pause);
  }
}

export async function groupsIn(directory: string, prefix: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory() && entry.name.startsWith(prefix)).map((entry) => entry.name);
  } catch {
    return [];
  }
}

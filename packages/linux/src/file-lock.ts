/**
 * Locks between processes, by the kernel's flock(2). Node has no binding for it, so util-linux's `flock` takes the lock on a descriptor
 * that it inherits: the lock belongs to the open file and stays when that program has ended. The kernel releases it when the last
 * descriptor is closed, however our process ends. So there are no stale locks.
 */
import { spawn } from "node:child_process";
import { open, type FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { CaissonError } from "@caisson/protocol";

/** Milliseconds between two attempts. */
const retryMs = 50;

export interface FileLock {
  /** The locked file. Its owner may write into it who holds the lock. */
  readonly file: FileHandle;
  release(): Promise<void>;
}

/**
 * Takes the lock of a file, which is made when it does not exist. The file is never removed, because processes that
 * opened it earlier and later would then lock different files.
 * @returns undefined when another process holds it
 * @throws CaissonError `unavailable` when `flock` cannot be run
 */
export async function takeFileLock(path: string): Promise<FileLock | undefined> {
  const file = await open(path, "a+", 0o600);
  try {
    if (await flock(file.fd)) return { file, release: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
}

/**
 * Runs `action` while holding the lock of a file.
 * @throws CaissonError `timeout` when another process holds it beyond the deadline, or the reason of the signal
 */
export async function withFileLock<T>(
  path: string,
  { deadlineMs, signal }: { readonly deadlineMs: number; readonly signal?: AbortSignal },
  action: () => Promise<T>,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  let lock = await takeFileLock(path);
  while (lock === undefined) {
    signal?.throwIfAborted();
    if (performance.now() > end)
      throw new CaissonError(
        "timeout",
        `Another process has held the lock ${path} for more than ${deadlineMs / 1000} seconds. End that process, or try again.`,
      );
    await sleep(retryMs);
    lock = await takeFileLock(path);
  }
  try {
    return await action();
  } finally {
    await lock.release();
  }
}

/** @returns whether the lock was free */
function flock(descriptor: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn("flock", ["--exclusive", "--nonblock", "3"], {
      stdio: ["ignore", "ignore", "ignore", descriptor],
    });
    const failed = (cause: unknown) =>
      reject(new CaissonError("unavailable", "The program `flock` cannot be run. Install util-linux.", { cause }));
    child.once("error", failed);
    // 1: another process holds it (flock(1), EXIT STATUS).
    child.once("exit", (code) => {
      if (code === 0 || code === 1) resolve(code === 0);
      else failed(new Error(`flock ended with status ${code}`));
    });
  });
}

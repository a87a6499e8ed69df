/**
 * Locks between processes, by the kernel's flock(2). Node has no binding for it, so util-linux's `flock` takes the lock on a descriptor
 * that it inherits: the lock belongs to the open file and stays when that program has ended. The kernel gives it back when the last
 * descriptor closes, however our process ends; so there are no stale locks and nothing to take over.
 */
import { spawn } from "node:child_process";
import { open, type FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { CaissonError } from "@caisson/protocol";

/** Milliseconds between attempts of who waits. */
const retryMs = 50;

export interface FileLock {
  /** The locked file: what its owner writes there tells others who holds the lock. */
  readonly file: FileHandle;
  release(): Promise<void>;
}

/**
 * Takes the lock of a file, which is made when it does not exist. The file is never removed: whoever opened it before would lock
 * another file than whoever opens it later.
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
      throw new CaissonError("timeout", `Another process holds the lock ${path} for too long.`);
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
      reject(new CaissonError("unavailable", "The program `flock` of util-linux cannot be run.", { cause }));
    child.once("error", failed);
    // 1: somebody else has it (flock(1), EXIT STATUS).
    child.once("exit", (code) => {
      if (code === 0 || code === 1) resolve(code === 0);
      else failed(new Error(`flock ended with status ${code}`));
    });
  });
}

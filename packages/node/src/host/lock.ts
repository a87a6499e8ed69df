/** Locks between processes that share a cache directory. The lock of a process that died is taken over. */
import { open, readFile, rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { CaissonError } from "@caisson/protocol";
import { identifyProcess, isAlive, type ProcessIdentity } from "../runtime/process-identity.ts";

/**
 * Runs `action` while holding the lock file.
 * @throws CaissonError `timeout` when another living process holds it beyond the deadline, `cancelled`
 */
export async function withLock<T>(
  path: string,
  options: { deadlineMs: number; signal?: AbortSignal },
  action: () => Promise<T>,
): Promise<T> {
  const end = Date.now() + options.deadlineMs;
  while (!(await take(path))) {
    options.signal?.throwIfAborted();
    if (Date.now() > end)
      throw new CaissonError("timeout", `Another process holds ${path}. If none of yours does, remove it.`);
    await sleep(100);
  }
  try {
    return await action();
  } finally {
    await rm(path, { force: true });
  }
}

async function take(path: string): Promise<boolean> {
  const self = await identifyProcess(process.pid);
  try {
    const file = await open(path, "wx", 0o600);
    await file.writeFile(JSON.stringify(self));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const owner = await readOwner(path);
  if (owner === undefined || (await isAlive(owner))) return false;
  await rm(path, { force: true });
  return false;
}

/** Undefined while its owner has yet to write it. */
async function readOwner(path: string): Promise<ProcessIdentity | undefined> {
  try {
    const owner = JSON.parse(await readFile(path, "utf8")) as ProcessIdentity;
    return typeof owner.pid === "number" ? owner : undefined;
  } catch {
    return undefined;
  }
}

/**
 * A file beside the database that occupies space for the time when the disk is full. A full disk could otherwise not be freed: the end
 * of a sandbox and the removal of a volume are writes to the database as well.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { statSync, truncateSync } from "node:fs";
import { open, stat, statfs, truncate, type FileHandle } from "node:fs/promises";

const allowed = new AsyncLocalStorage<true>();

/** In `work`, statements may use the reserve. For what ends or removes things; never for what a client can ask for without bound. */
export function withReserve<T>(work: () => T): T {
  return allowed.run(true, work);
}

export function mayUseReserve(): boolean {
  return allowed.getStore() === true;
}

/** Bytes that one step gives back: some transactions fit into it, and the guests' writes do not get everything at once. */
const step = 2 ** 20;

/** Gives some space back to the file system. Synchronous: the statement is run again before others can write. @returns whether it did */
export function giveBack(path: string): boolean {
  const { size = 0 } = statSync(path, { throwIfNoEntry: false }) ?? {};
  if (size === 0) return false;
  truncateSync(path, Math.max(0, size - step));
  return true;
}

/**
 * Makes the reserve `bytes` long if the file system has that much free and as much again; otherwise leaves it as it is.
 * The content is random, because a file system may store zeros in no space.
 * @returns whether it has its full size
 */
export async function takeReserve(path: string, bytes: number): Promise<boolean> {
  const file = await open(path, "a", 0o600);
  try {
    const { size } = await file.stat();
    if (size > bytes) await file.truncate(bytes);
    if (size >= bytes) return true;
    const { bavail, bsize } = await statfs(path);
    if (bavail * bsize < 2 * bytes - size) return false;
    return await fill(file, bytes - size).catch(async (error: NodeJS.ErrnoException) => {
      // The space was taken by others in the meantime. They need it.
      await truncate(path, size);
      if (error.code === "ENOSPC" || error.code === "EDQUOT") return false;
      throw error;
    });
  } finally {
    await file.close();
  }
}

async function fill(file: FileHandle, bytes: number): Promise<true> {
  for (let rest = bytes; rest > 0; rest -= step) await file.appendFile(randomBytes(Math.min(step, rest)));
  await file.sync();
  return true;
}

/** Bytes that the reserve occupies now. */
export async function reserveSize(path: string): Promise<number> {
  return (await stat(path)).size;
}

/**
 * Files that must exist whole or not at all, also after a power cut: written under another name, flushed, then put in place. The
 * directory is flushed as well, because the new name is part of it.
 */
import { randomUUID } from "node:crypto";
import { link, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

export interface WholeFileOptions {
  /** Permissions. Default 600. */
  readonly mode?: number;
}

/** Writes a file in the place of the one that exists. A reader finds the former content or the new one. */
export async function replaceFile(path: string, text: string, options: WholeFileOptions = {}): Promise<void> {
  await putWhole(path, text, options, rename);
}

/**
 * Writes a file that does not exist yet. Of several processes that try, one succeeds.
 * @returns false when the file exists; it is left as it is
 */
export async function createFile(path: string, text: string, options: WholeFileOptions = {}): Promise<boolean> {
  try {
    await putWhole(path, text, options, link);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function putWhole(
  path: string,
  text: string,
  { mode = 0o600 }: WholeFileOptions,
  put: (from: string, to: string) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${randomUUID()}.new`;
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(text);
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await put(temporary, path);
    const directory = await open(dirname(path), "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Files that are there, whole, after a power cut once these functions have returned. */
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** Flushes a file's or a directory's content to the disk. */
export async function flush(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Puts a finished temporary file in its place: afterwards either the former or the new file is there, never a part. */
export async function replace(temporary: string, path: string): Promise<void> {
  await flush(temporary);
  await rename(temporary, path);
  await flush(dirname(path));
}

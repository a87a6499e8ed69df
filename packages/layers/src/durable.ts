/** Makes files durable: once these functions have returned, a power cut does not lose or damage the file. */
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

/** Puts a finished temporary file in its place: after a crash the path has either the former or the new file, complete. */
export async function replace(temporary: string, path: string): Promise<void> {
  await flush(temporary);
  await rename(temporary, path);
  await flush(dirname(path));
}

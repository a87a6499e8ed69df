/** What the images of an installation take on the host's disk. */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Allocated bytes of all layers and their copies at rest; a copy that is a link to the same inode counts once. */
export function imageBytes(home: string): number {
  const volumes = join(home, "volumes");
  const allocated = new Map<number, number>();
  for (const name of readdirSync(volumes, { recursive: true, encoding: "utf8" })) {
    // Background work may take a file away at any moment.
    const found = lstatSync(join(volumes, name), { throwIfNoEntry: false });
    if (found?.isFile() === true) allocated.set(found.ino, found.blocks * 512);
  }
  return [...allocated.values()].reduce((sum, bytes) => sum + bytes, 0);
}

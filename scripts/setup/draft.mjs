/** Folders that are there whole or not at all, and the removal of those nobody uses any more. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * Makes `directory` by filling a draft beside it and renaming that. The caller holds the set-up's lock, so any other draft
 * was left by a set-up that died.
 * @param {string} directory
 * @param {(draft: string) => Promise<void>} fill
 */
export async function makeWhole(directory, fill) {
  const parent = dirname(directory);
  mkdirSync(parent, { recursive: true });
  for (const name of readdirSync(parent)) {
    if (name.startsWith(".draft-")) rmSync(join(parent, name), { recursive: true, force: true });
  }
  const draft = join(parent, `.draft-${process.pid}`);
  mkdirSync(draft);
  try {
    await fill(draft);
    rmSync(directory, { recursive: true, force: true });
    renameSync(draft, directory);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/**
 * Removes all but the newest folders below `parent`.
 * @param {string} parent @param {number} count folders to keep @param {string} used a folder to keep whatever its age
 */
export function keepNewest(parent, count, used) {
  if (!existsSync(parent)) return;
  const folders = readdirSync(parent)
    .map((name) => join(parent, name))
    .filter((path) => path !== used && statSync(path).isDirectory())
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  for (const path of folders.slice(count - 1)) rmSync(path, { recursive: true, force: true });
}

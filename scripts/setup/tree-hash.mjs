/** One hash over the content of files and folders: the key of what is built from them. */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** @param {string} directory @returns {string[]} files below it, relative, sorted */
export function filesBelow(directory) {
  const found = [];
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory())
      found.push(...filesBelow(join(directory, entry.name)).map((file) => `${entry.name}/${file}`));
    else found.push(entry.name);
  }
  return found.sort((a, b) => (a < b ? -1 : 1));
}

/**
 * Names, content and whether a file may be executed count; times, owners and other modes do not.
 * @param {string} base @param {readonly string[]} paths files, or folders to take whole, relative to base
 * @param {(file: string) => boolean} [keep] which files count
 * @param {readonly string[]} [more] further input, such as options of the build
 * @returns {string} 32 hex digits
 */
export function treeHash(base, paths, keep = () => true, more = []) {
  const hash = createHash("sha256");
  const files = paths.flatMap((path) =>
    statSync(join(base, path)).isDirectory() ? filesBelow(join(base, path)).map((file) => `${path}/${file}`) : [path],
  );
  for (const file of files.filter(keep)) {
    const content = readFileSync(join(base, file));
    const executable = (statSync(join(base, file)).mode & 0o111) !== 0;
    hash.update(`${file}\0${executable ? "x" : "-"}\0${content.length}\0`).update(content);
  }
  for (const text of more) hash.update(`\0${text}`);
  return hash.digest("hex").slice(0, 32);
}

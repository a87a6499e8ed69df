/** Checks a tree of files, and lays it out in a directory for mkfs.erofs. Guests chose every name in it. */
import { copyFile, chmod, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { CaissonError, type TreeEntry } from "@caisson/protocol";
import type { Contents } from "./contents.ts";

/** Linux: NAME_MAX and PATH_MAX, bytes. */
const maxName = 255;
const maxPath = 4000;

/**
 * @returns the bytes of its files
 * @throws CaissonError `invalid_argument` for the first entry that is not as `TreeEntry` says
 */
export function checkTree(tree: readonly TreeEntry[]): number {
  const kinds = new Map<string, TreeEntry["kind"]>();
  for (const { path, kind } of tree) {
    const names = path.split("/");
    const valid = names.every((name) => name !== "" && name !== "." && name !== ".." && !name.includes("\0"));
    if (!valid || Buffer.byteLength(path) > maxPath || names.some((name) => Buffer.byteLength(name) > maxName))
      throw refused(path, "is not a relative path of names with at most 255 bytes");
    if (kinds.has(path)) throw refused(path, "is there twice");
    kinds.set(path, kind);
  }
  let bytes = 0;
  for (const entry of tree) {
    const { path } = entry;
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    // A symbolic link as parent would lead out of the directory in which the tree is laid out.
    if (parent !== "" && kinds.get(parent) !== "directory") throw refused(path, "is not in a directory of the tree");
    if (entry.kind === "file") bytes += entry.bytes;
    if (
      entry.kind === "symlink" &&
      (entry.target === "" || entry.target.includes("\0") || Buffer.byteLength(entry.target) > maxPath)
    )
      throw refused(path, "has a target that no symbolic link can have");
  }
  return bytes;
}

/** Lays a checked tree out in an empty directory. */
export async function layOut(tree: readonly TreeEntry[], directory: string, contents: Contents): Promise<void> {
  const sorted = tree.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  for (const { kind, path } of sorted) if (kind === "directory") await mkdir(join(directory, path), { mode: 0o755 });
  for (const entry of sorted) {
    if (entry.kind !== "file") continue;
    const target = join(directory, entry.path);
    if (!entry.executable) await contents.linkTo(entry.digest, target);
    else {
      // A link would share its mode with every other file of that content.
      await copyFile(contents.path(entry.digest), target);
      await chmod(target, 0o555);
    }
  }
  // Last: nothing is created through one.
  for (const entry of sorted) if (entry.kind === "symlink") await symlink(entry.target, join(directory, entry.path));
}

function refused(path: string, why: string): CaissonError {
  return new CaissonError("invalid_argument", `The file ${JSON.stringify(path.slice(0, 200))} ${why}.`);
}

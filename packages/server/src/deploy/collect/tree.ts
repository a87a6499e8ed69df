/** Collects entries into a tree that a node can pack, within the limits of a revision. */
import type { Readable } from "node:stream";
import { CaissonError, type NodeFiles, type TreeEntry } from "@caisson/protocol";

export interface TreeLimits {
  readonly bytes: number;
  /** Files, directories and links. */
  readonly files: number;
}

/** Of all paths and targets together: the tree is kept in memory, and stored as one text. 50,000 files of a `node_modules` have 4 MB. */
const mostNameBytes = 32 * 2 ** 20;

export class TreeBuilder {
  readonly #entries = new Map<string, TreeEntry>();
  readonly #files: NodeFiles;
  readonly #limits: TreeLimits;
  bytes = 0;
  #nameBytes = 0;

  constructor(files: NodeFiles, limits: TreeLimits) {
    this.#files = files;
    this.#limits = limits;
  }

  directory(path: string): void {
    const clean = cleanPath(path);
    if (clean !== "") this.#add({ kind: "directory", path: clean });
  }

  symlink(path: string, target: string): void {
    this.#add({ kind: "symlink", path: cleanPath(path), target });
  }

  /** Before a file is read. @throws CaissonError `too_large` when there is no room for it */
  expect(bytes: number): void {
    if (this.bytes + bytes > this.#limits.bytes) throw tooLarge(this.#limits.bytes);
  }

  async file(path: string, content: Readable, executable: boolean, signal?: AbortSignal): Promise<void> {
    const clean = cleanPath(path);
    const left = this.#limits.bytes - this.bytes;
    const options = { maxBytes: left, ...(signal === undefined ? {} : { signal }) };
    const { digest, bytes } = await this.#files.put(content, options).catch((error: unknown) => {
      if (error instanceof CaissonError && error.code === "resource_exhausted" && /has more than/.test(error.message))
        throw tooLarge(this.#limits.bytes);
      throw error;
    });
    this.bytes += bytes;
    this.#add({ kind: "file", path: clean, digest, bytes, executable });
  }

  #add(entry: TreeEntry): void {
    const { path } = entry;
    for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) {
      const parent = path.slice(0, at);
      if (!this.#entries.has(parent)) this.#put({ kind: "directory", path: parent });
    }
    if (path === "" || (this.#entries.has(path) && entry.kind !== "directory"))
      throw new CaissonError("invalid_argument", `The file ${JSON.stringify(path.slice(0, 200))} is there twice.`);
    if (!this.#entries.has(path)) this.#put(entry);
  }

  #put(entry: TreeEntry): void {
    if (this.#entries.size >= this.#limits.files)
      throw new CaissonError(
        "too_large",
        `The app has more than ${this.#limits.files} files and directories, the limit. Deploy only what it needs.`,
      );
    this.#nameBytes += Buffer.byteLength(entry.path) + (entry.kind === "symlink" ? Buffer.byteLength(entry.target) : 0);
    if (this.#nameBytes > mostNameBytes)
      throw new CaissonError(
        "too_large",
        `The paths of the app's files have more than ${mostNameBytes} bytes, the limit.`,
      );
    this.#entries.set(entry.path, entry);
  }

  /** Everything is on the disk then. */
  async finish(): Promise<TreeEntry[]> {
    await this.#files.flush();
    return [...this.#entries.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
  }
}

export function tooLarge(limit: number): CaissonError {
  return new CaissonError("too_large", `The files of the app have more than ${limit} bytes, the limit.`);
}

/** @throws CaissonError `invalid_argument` when it is not a path below the app's directory */
function cleanPath(path: string): string {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  if (path.startsWith("/") || names.includes("..") || path.includes("\0"))
    throw new CaissonError(
      "invalid_argument",
      `The path ${JSON.stringify(path.slice(0, 200))} is not below the app's directory.`,
    );
  return names.join("/");
}

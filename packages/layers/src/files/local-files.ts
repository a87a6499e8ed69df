/** The files of apps on one node: `contents/`, `images/<id>.qcow2`, and `drafts/` for what is being made. */
import { randomUUID } from "node:crypto";
import { chmod, mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { CaissonError, type FileStore, type ImageId, type StoredContent, type TreeEntry } from "@caisson/protocol";
import { replace } from "../durable.ts";
import { outputName, runJailed, treeName } from "../jailed-tool.ts";
import { runTool } from "../tool.ts";
import { Contents, fullOr } from "./contents.ts";
import { checkTree, layOut } from "./tree.ts";

const idPattern = /^[a-z0-9]{1,40}$/;
const suffix = ".qcow2";
/** Milliseconds for an image of 1 GB on a slow disk. */
const deadline = 600_000;
/** User and group `app` of every guest. */
const appUser = 1000;
/** Of a disk's block, bytes: the size of a disk is a whole number of them. */
const block = 4096;

export class LocalFiles implements FileStore {
  readonly #directory: string;
  readonly #contents: Contents;

  constructor(directory: string) {
    this.#directory = directory;
    this.#contents = new Contents(join(directory, "contents"));
  }

  async open(): Promise<void> {
    await rm(this.#drafts, { recursive: true, force: true });
    for (const directory of [this.#images, this.#drafts]) await mkdir(directory, { recursive: true, mode: 0o700 });
    await this.#contents.open();
    for (const name of await readdir(this.#images))
      if (name.endsWith(".tmp")) await rm(join(this.#images, name), { force: true });
  }

  put(content: Readable, options: Parameters<FileStore["put"]>[1]): Promise<StoredContent> {
    return this.#contents.put(content, options);
  }

  flush(): Promise<void> {
    return this.#contents.flush();
  }

  read(digest: string, range?: { readonly first: number; readonly last: number }): Promise<Readable> {
    return this.#contents.read(digest, range);
  }

  prune(needed: ReadonlySet<string>, age: number): ReturnType<Contents["prune"]> {
    return this.#contents.prune(needed, age);
  }

  async pack(id: ImageId, tree: readonly TreeEntry[], { signal }: { signal?: AbortSignal } = {}): Promise<number> {
    const path = this.#path(id);
    const bytes = checkTree(tree);
    const found = await this.#size(path);
    if (found !== undefined) return found;
    const draft = join(this.#drafts, randomUUID());
    const [directory, raw] = [join(draft, "tree"), join(draft, "image")];
    const temporary = `${path}.${randomUUID()}.tmp`;
    try {
      // The jailed tool has another user, and reaches the tree alone.
      await mkdir(directory, { recursive: true, mode: 0o755 });
      await layOut(tree, directory, this.#contents);
      await writeFile(raw, "", { mode: 0o600 });
      const owner = [`--force-uid=${appUser}`, `--force-gid=${appUser}`];
      // No times and no random id: the same tree makes the same image. No extended attributes.
      const options = ["--quiet", "-x-1", "-T0", "-U", "00000000-0000-0000-0000-000000000000", ...owner];
      await runJailed("mkfs.erofs", [...options, outputName, treeName], {
        images: [],
        tree: { path: directory, bytes: bytes + tree.length * block },
        output: raw,
        deadline,
        signal,
      });
      await runTool("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", raw, temporary], { deadline, signal });
      await chmod(temporary, 0o444);
      await replace(temporary, path);
    } catch (error) {
      throw fullOr(error);
    } finally {
      await rm(temporary, { force: true });
      await rm(draft, { recursive: true, force: true });
    }
    return (await this.#size(path)) ?? 0;
  }

  async removeImage(id: ImageId): Promise<void> {
    await rm(this.#path(id), { force: true });
  }

  async images(): Promise<readonly ImageId[]> {
    const names = await readdir(this.#images);
    return names.filter((name) => name.endsWith(suffix)).map((name) => name.slice(0, -suffix.length));
  }

  async imagePath(id: ImageId): Promise<string> {
    const path = this.#path(id);
    if ((await this.#size(path)) === undefined)
      throw new CaissonError("not_found", `The image ${id} is not on this node.`);
    return path;
  }

  async #size(path: string): Promise<number | undefined> {
    try {
      return (await stat(path)).blocks * 512;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  get #images(): string {
    return join(this.#directory, "images");
  }

  get #drafts(): string {
    return join(this.#directory, "drafts");
  }

  #path(id: ImageId): string {
    if (!idPattern.test(id))
      throw new CaissonError("invalid_argument", `"${id.slice(0, 80)}" is not the id of an image.`);
    return join(this.#images, id + suffix);
  }
}

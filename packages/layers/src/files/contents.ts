/** Contents of files by their SHA-256: `<directory>/<two digits>/<digest>`. Equal contents are stored once. */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { copyFile, link, mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Transform, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CaissonError, type StoredContent } from "@caisson/protocol";
import { DiskFull, runTool } from "../tool.ts";

const digestPattern = /^[0-9a-f]{64}$/;
/** Milliseconds for a gigabyte on a slow disk. */
const flushDeadline = 300_000;

export class Contents {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async open(): Promise<void> {
    await rm(this.#drafts, { recursive: true, force: true });
    await mkdir(this.#drafts, { recursive: true, mode: 0o700 });
  }

  get #drafts(): string {
    return join(this.#directory, "drafts");
  }

  async put(
    content: Readable,
    { maxBytes, signal }: { readonly maxBytes: number; readonly signal?: AbortSignal },
  ): Promise<StoredContent> {
    const draft = join(this.#drafts, randomUUID());
    const hash = createHash("sha256");
    let bytes = 0;
    const count = new Transform({
      transform(chunk: Buffer, _, callback) {
        bytes += chunk.length;
        if (bytes > maxBytes)
          return callback(new CaissonError("resource_exhausted", `A file has more than ${maxBytes} bytes.`));
        hash.update(chunk);
        callback(null, chunk);
      },
    });
    try {
      // Readable by the jailed tool, through the tree that it gets. Only we can enter the directory.
      await pipeline(content, count, createWriteStream(draft, { flags: "wx", mode: 0o444 }), {
        ...(signal === undefined ? {} : { signal }),
      });
      const digest = hash.digest("hex");
      const path = this.path(digest);
      await mkdir(join(path, ".."), { recursive: true, mode: 0o700 });
      const known = await stat(path).catch(ignoreMissing);
      // One of the wrong size was cut off by a power failure.
      if (known?.size === bytes) await utimes(path, new Date(), new Date());
      else await rename(draft, path);
      return { digest, bytes };
    } catch (error) {
      throw fullOr(error);
    } finally {
      await rm(draft, { force: true });
    }
  }

  /** One call for all: a flush of each small file would take longer than everything else. */
  async flush(): Promise<void> {
    await runTool("sync", ["-f", this.#directory], { deadline: flushDeadline }).catch((error: unknown) => {
      throw fullOr(error);
    });
  }

  async read(digest: string, range?: { readonly first: number; readonly last: number }): Promise<Readable> {
    const path = this.path(digest);
    if ((await stat(path).catch(ignoreMissing)) === undefined) throw missing(digest);
    return createReadStream(path, range === undefined ? {} : { start: range.first, end: range.last });
  }

  /** Gives the content another name. @throws CaissonError `not_found` */
  async linkTo(digest: string, target: string): Promise<void> {
    const path = this.path(digest);
    await link(path, target).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") throw missing(digest);
      // A file can have so many names and no more (ext4: 65,000), and apps have many files with the same content.
      if (error.code !== "EMLINK") throw error;
      await copyFile(path, target);
    });
  }

  async prune(needed: ReadonlySet<string>, age: number): Promise<{ removed: number; missing: ReadonlySet<string> }> {
    let removed = 0;
    const missing = new Set(needed);
    const before = Date.now() - age;
    for (const part of await readdir(this.#directory)) {
      if (!/^[0-9a-f]{2}$/.test(part)) continue;
      for (const name of await readdir(join(this.#directory, part))) {
        missing.delete(name);
        if (needed.has(name)) continue;
        const path = join(this.#directory, part, name);
        const found = await stat(path).catch(ignoreMissing);
        if (found === undefined || found.mtimeMs > before) continue;
        await rm(path, { force: true });
        removed++;
      }
    }
    return { removed, missing };
  }

  path(digest: string): string {
    if (!digestPattern.test(digest))
      throw new CaissonError("invalid_argument", "The name of a content must be a SHA-256 in hexadecimal.");
    return join(this.#directory, digest.slice(0, 2), digest);
  }
}

/** The same error, or what it means for the files of apps. */
export function fullOr(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const full = code === "ENOSPC" || code === "EDQUOT" || error instanceof DiskFull;
  return full ? new DiskFull("the files of apps", error) : error;
}

function missing(digest: string): CaissonError {
  return new CaissonError(
    "not_found",
    `A file of this revision is missing on this node (SHA-256 ${digest}). Deploy the app again, or restore the directory apps/contents of the home from a backup.`,
  );
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

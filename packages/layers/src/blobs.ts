/**
 * Immutable copies of images at rest. The key is the SHA-256 of the bytes, so a put can be repeated and a get can be checked.
 * A directory serves one node; an S3-compatible store offers the same five operations.
 */
import { createReadStream } from "node:fs";
import { copyFile, link, mkdir, readdir, rm, stat } from "node:fs/promises";
import { createHash, randomUUID } from "node:crypto";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { CaissonError } from "@caisson/protocol";
import { flush, replace } from "./durable.ts";

export interface Blob {
  /** SHA-256, hexadecimal. */
  readonly digest: string;
  readonly bytes: number;
}

export interface BlobStore {
  /** Stores a file under its digest, which the caller has computed. Idempotent. */
  put(digest: string, source: string): Promise<void>;
  /** Writes the blob to a new file, checked against its digest. @throws CaissonError `not_found`, `internal` when its bytes are not those that were put */
  get(digest: string, target: string): Promise<void>;
  /** What is wrong with a blob, as a predicate: "is missing". Not read when it and `source`, which was read, are one file. */
  fault(digest: string, source: string): Promise<string | undefined>;
  stat(digest: string): Promise<Blob | undefined>;
  list(): AsyncIterable<Blob>;
  /** Idempotent. */
  remove(digest: string): Promise<void>;
}

const digestPattern = /^[0-9a-f]{64}$/;

/** SHA-256 of a file, hexadecimal. */
export async function digestFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash, { signal });
  return hash.digest("hex");
}

/** Blobs as files of one directory. A put on the same file system is a hard link and takes no space. */
export class DirectoryBlobs implements BlobStore {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async put(digest: string, source: string): Promise<void> {
    const path = this.#path(digest);
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const temporary = `${path}.${randomUUID()}.tmp`;
    await link(source, temporary).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "EXDEV" && error.code !== "EPERM" && error.code !== "EMLINK") throw error;
      await copyFile(source, temporary);
    });
    await replace(temporary, path);
    // rename(2) leaves both names when they are links to one file.
    await rm(temporary, { force: true });
  }

  async get(digest: string, target: string): Promise<void> {
    if ((await this.stat(digest)) === undefined) throw new CaissonError("not_found", `Blob ${digest} does not exist.`);
    const temporary = `${target}.${randomUUID()}.tmp`;
    try {
      await copyFile(this.#path(digest), temporary);
      if ((await digestFile(temporary)) !== digest)
        throw new CaissonError("internal", `Blob ${digest} is damaged: its bytes have another SHA-256.`);
      await replace(temporary, target);
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async stat(digest: string): Promise<Blob | undefined> {
    const found = await stat(this.#path(digest)).catch(ignoreMissing);
    return found && { digest, bytes: found.size };
  }

  async fault(digest: string, source: string): Promise<string | undefined> {
    const path = this.#path(digest);
    const [blob, file] = await Promise.all([stat(path).catch(ignoreMissing), stat(source).catch(ignoreMissing)]);
    if (blob === undefined) return "is missing";
    if (blob.ino === file?.ino && blob.dev === file.dev) return undefined;
    return (await digestFile(path)) === digest ? undefined : "is damaged";
  }

  async *list(): AsyncIterable<Blob> {
    for (const name of (await readdir(this.#directory).catch(ignoreMissing)) ?? []) {
      if (!digestPattern.test(name)) continue;
      const blob = await this.stat(name);
      if (blob !== undefined) yield blob;
    }
  }

  async remove(digest: string): Promise<void> {
    await rm(this.#path(digest), { force: true });
    await flush(this.#directory).catch(ignoreMissing);
  }

  #path(digest: string): string {
    if (!digestPattern.test(digest))
      throw new CaissonError("invalid_argument", "The name of a blob must be a SHA-256 in hexadecimal.");
    return join(this.#directory, digest);
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

/** The layers of one node: `<directory>/<id>.qcow2`, one flat directory, so that backing files are bare file names. */
import { randomUUID } from "node:crypto";
import { chmod, chown, mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { basename, join } from "node:path";
import {
  CaissonError,
  type LayerCopyId,
  type LayerFault,
  type LayerFile,
  type LayerId,
  type LayerStore,
  type OverlayOptions,
} from "@caisson/protocol";
import { digestFile, type BlobStore } from "./blobs.ts";
import { copyOnto } from "./copy.ts";
import { flush, replace } from "./durable.ts";
import { formatImage } from "./file-system.ts";
import { asFileName, imageChain, runJailed } from "./jailed-tool.ts";
import { dataByDepth } from "./measure.ts";
import { emptyOverlay, readHeader } from "./qcow2-header.ts";
import { DiskFull } from "./tool.ts";

const idPattern = /^[a-z0-9][a-z0-9-]{0,63}$/;
const copyPattern = /^([a-z0-9][a-z0-9-]{0,63}\.qcow2)\.[0-9a-f-]{36}\.tmp$/;
const suffix = ".qcow2";
/** A deeper chain is an error: the planner keeps chains much shorter. */
const maxDepth = 256;

export class LocalLayers implements LayerStore {
  readonly #directory: string;
  readonly #blobs: BlobStore;

  /** @param blobs keeps copies of sealed layers at rest */
  constructor(directory: string, blobs: BlobStore) {
    this.#directory = directory;
    this.#blobs = blobs;
  }

  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#directory)) {
      if (name.includes(".tmp")) await rm(join(this.#directory, name), { force: true });
    }
  }

  async format(id: LayerId, bytes: number): Promise<void> {
    await this.#make(id, (temporary) => formatImage(temporary, wholeBlocks(bytes)));
  }

  async overlay(id: LayerId, parent: LayerId, { bytes = 0, durable = true }: OverlayOptions = {}): Promise<void> {
    const below = await this.stat(parent);
    if (below === undefined) throw new CaissonError("not_found", `Layer ${parent} does not exist.`);
    const image = emptyOverlay(parent + suffix, Math.max(below.virtualBytes, wholeBlocks(bytes)));
    const write = async (temporary: string) => {
      const file = await open(temporary, "wx", 0o600);
      try {
        await file.writeFile(image);
      } finally {
        await file.close();
      }
    };
    await this.#make(id, write, durable ? replace : rename);
  }

  async seal(id: LayerId): Promise<void> {
    const path = this.#path(id);
    await chmod(path, 0o444).catch(missing(id));
    // The process that wrote it keeps its descriptor, but can no longer open the file for writing.
    if (process.getuid?.() === 0) await chown(path, 0, 0);
    await flush(path);
  }

  async stat(id: LayerId): Promise<LayerFile | undefined> {
    const path = this.#path(id);
    const found = await stat(path).catch(ignoreMissing);
    if (found === undefined) return undefined;
    const header = await readHeader(path);
    return {
      id,
      parent: parentOf(header, path),
      virtualBytes: header.virtualBytes,
      fileBytes: found.blocks * 512,
      sealed: (found.mode & 0o222) === 0,
    };
  }

  async list(): Promise<{ files: readonly LayerFile[]; faults: readonly LayerFault[] }> {
    const files: LayerFile[] = [];
    const faults: LayerFault[] = [];
    // The directory does not exist before the first start of a server.
    for (const name of (await readdir(this.#directory).catch(ignoreMissing)) ?? []) {
      const id = name.slice(0, -suffix.length);
      if (!name.endsWith(suffix) || !idPattern.test(id)) continue;
      try {
        const layer = await this.stat(id);
        if (layer !== undefined) files.push(layer);
      } catch (error) {
        faults.push({ id, problem: (error as Error).message, where: "chain" });
      }
    }
    return { files, faults };
  }

  async chain(id: LayerId): Promise<readonly LayerId[]> {
    const ids: LayerId[] = [];
    const seen = new Set<LayerId>();
    for (let next: LayerId | null = id; next !== null;) {
      const layer: LayerFile | undefined = await this.stat(next);
      if (layer === undefined)
        throw new CaissonError(
          next === id ? "not_found" : "internal",
          next === id ? `Layer ${id} does not exist.` : `Layer ${next}, which is below ${id}, is missing.`,
        );
      if (seen.has(next) || seen.size >= maxDepth)
        throw new CaissonError(
          "internal",
          `The layers below ${id} do not end: one of them names itself, or there are more than ${maxDepth}.`,
        );
      seen.add(next);
      ids.push(next);
      next = layer.parent;
    }
    return ids;
  }

  async paths(chain: readonly LayerId[]): Promise<readonly string[]> {
    const [top = ""] = chain;
    const found = await this.chain(top);
    // Headers may skip layers: the chain may have become shorter, with the same content, since the control plane read it. A layer that
    // is not in the chain is refused: a compromised machine could have changed its disk's header to name a layer of another tenant.
    let position = -1;
    for (const id of found) {
      position = chain.indexOf(id, position + 1);
      if (position !== -1) continue;
      throw new CaissonError(
        "internal",
        `The headers of the images of layer ${top} name layer ${id}, which is not part of it: they were tampered with.`,
      );
    }
    return found.map((id) => this.#path(id));
  }

  idOf(path: string): LayerId {
    return basename(path, suffix);
  }

  async measure(chain: readonly LayerId[]): Promise<Readonly<Record<LayerId, number>>> {
    const images = await this.paths(chain);
    const bytes = await dataByDepth(images);
    return Object.fromEntries(images.map((image, depth) => [this.idOf(image), bytes[depth] ?? 0]));
  }

  async copy(
    chain: readonly LayerId[],
    parent: LayerId | null,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<LayerCopyId> {
    const images = (await this.paths(chain)) as [string, ...string[]];
    if (parent === null) return basename(await copyOnto({ images, parent, signal }));
    const index = images.indexOf(this.#path(parent));
    if (index < 1) throw new CaissonError("invalid_argument", `Layer ${parent} is not below layer ${chain[0]}.`);
    return basename(await copyOnto({ images, parent: { index, name: parent + suffix }, signal }));
  }

  async commitCopy(copy: LayerCopyId): Promise<void> {
    const [, name] = copyPattern.exec(copy) ?? [];
    if (name === undefined)
      throw new CaissonError("invalid_argument", `"${copy.slice(0, 200)}" is not the id of a copy.`);
    await replace(join(this.#directory, copy), join(this.#directory, name)).catch((cause: NodeJS.ErrnoException) => {
      throw cause.code === "ENOENT" ? new CaissonError("not_found", `Copy ${copy} does not exist.`, { cause }) : cause;
    });
  }

  async discardCopy(copy: LayerCopyId): Promise<void> {
    if (copyPattern.test(copy)) await rm(join(this.#directory, copy), { force: true });
  }

  async archive(id: LayerId, { signal }: { readonly signal?: AbortSignal } = {}): Promise<string> {
    const path = this.#path(id);
    const digest = await digestFile(path, signal);
    await this.#blobs.put(digest, path);
    return digest;
  }

  async recall(id: LayerId, digest: string): Promise<void> {
    const path = this.#path(id);
    await this.#blobs.get(digest, path);
    await this.seal(id);
  }

  async forget(digest: string): Promise<void> {
    await this.#blobs.remove(digest);
  }

  async archived(): Promise<readonly string[]> {
    return (await Array.fromAsync(this.#blobs.list())).map(({ digest }) => digest);
  }

  async verify(id: LayerId, checksum?: string): Promise<readonly LayerFault[]> {
    const faults: LayerFault[] = [];
    try {
      const path = this.#path((await this.chain(id))[0]!);
      // 2: damaged; 3: leaked clusters only, which a killed machine leaves and which cost only space.
      const code = await runJailed("qemu-img", ["check", "-q", asFileName(imageChain(1))], {
        images: [path],
        accept: [0, 2, 3],
        deadline: 600_000,
        background: true,
      });
      if (code === 2) faults.push({ id, problem: "qemu-img check reports that the image is damaged", where: "image" });
      if (checksum !== undefined && (await digestFile(path)) !== checksum)
        faults.push({ id, problem: "its bytes are not those that were sealed", where: "image" });
      if (checksum !== undefined) {
        const problem = await this.#blobs.fault(checksum, path);
        if (problem !== undefined) faults.push({ id, problem: `its copy at rest ${problem}`, where: "copy" });
      }
    } catch (error) {
      faults.push({ id, problem: (error as Error).message, where: "chain" });
    }
    return faults;
  }

  async remove(id: LayerId): Promise<void> {
    // Whatever it is now: after damage to the file system it need not be a file.
    await rm(this.#path(id), { force: true, recursive: true });
    await flush(this.#directory);
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#directory);
    return bavail * bsize;
  }

  /** Makes a file under a temporary name and puts it in place when it is whole and on the disk. */
  async #make(id: LayerId, write: (temporary: string) => Promise<void>, put = replace): Promise<void> {
    const path = this.#path(id);
    if ((await stat(path).catch(ignoreMissing)) !== undefined)
      throw new CaissonError("already_exists", `Layer ${id} already exists.`);
    const temporary = `${path}.${randomUUID()}.tmp`;
    try {
      await write(temporary);
      await put(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      if ((error as NodeJS.ErrnoException).code === "ENOSPC") {
        throw new DiskFull("volumes", error);
      }
      throw error;
    }
  }

  #path(id: LayerId): string {
    if (!idPattern.test(id))
      throw new CaissonError(
        "invalid_argument",
        `"${id.slice(0, 80)}" is not the id of a layer. Ids have 1 to 64 lower-case letters, digits and hyphens.`,
      );
    return join(this.#directory, id + suffix);
  }
}

/** ext4 and guests count in blocks of 4096 bytes. */
function wholeBlocks(bytes: number): number {
  return Math.ceil(bytes / 4096) * 4096;
}

/** The parent that a header names. @throws CaissonError `internal` for any name that is not one of a layer */
function parentOf(header: { backingFile: string | null; backingFormat: string | null }, path: string): LayerId | null {
  if (header.backingFile === null) return null;
  const id = header.backingFile.slice(0, -suffix.length);
  if (!header.backingFile.endsWith(suffix) || !idPattern.test(id) || header.backingFormat !== "qcow2") {
    throw new CaissonError(
      "internal",
      `${basename(path)} names a backing file that is not a layer: it was tampered with.`,
    );
  }
  return id;
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

function missing(id: LayerId): (error: NodeJS.ErrnoException) => never {
  return (error) => {
    throw error.code === "ENOENT"
      ? new CaissonError("not_found", `Layer ${id} does not exist.`, { cause: error })
      : error;
  };
}

/**
 * Images of the platform for running machines, on the file system of the machines' disk directories: a jailed monitor sees nothing but
 * hard links in its own directory.
 */
import { constants, copyFile, link, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ImageName } from "@caisson/protocol";
import type { ImageSource } from "../options.ts";

export class ImageLibrary {
  readonly #directory: string;
  readonly #source: ImageSource;
  readonly #opening = new Map<ImageName, Promise<string>>();

  /** @param directory on the file system of the disk directories */
  constructor(directory: string, source: ImageSource) {
    this.#directory = directory;
    this.#source = source;
  }

  /**
   * The image's file. Callers that ask at the same time share the work.
   * @throws CaissonError as `ImageSource`
   */
  file(name: ImageName): Promise<string> {
    let opening = this.#opening.get(name);
    if (opening === undefined) {
      // Nothing is remembered: the file may have been removed, or the recipe changed.
      opening = this.#open(name).finally(() => this.#opening.delete(name));
      this.#opening.set(name, opening);
    }
    return opening;
  }

  async #open(name: ImageName): Promise<string> {
    const source = await this.#source(name);
    const path = join(this.#directory, `${name}-${basename(dirname(source))}.erofs`);
    if (await exists(path)) return path;
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const draft = `${path}.draft`;
    await rm(draft, { force: true });
    await link(source, draft).catch(async (error: NodeJS.ErrnoException) => {
      // Another file system, or one without links. Bytes are shared where the file system can.
      if (error.code !== "EXDEV" && error.code !== "EPERM" && error.code !== "EMLINK") throw error;
      await copyFile(source, draft, constants.COPYFILE_FICLONE);
    });
    await rename(draft, path);
    // Those of former recipes. Machines that have one keep it by their own link.
    for (const other of await readdir(this.#directory))
      if (other.startsWith(`${name}-`) && other !== basename(path))
        await rm(join(this.#directory, other), { force: true });
    return path;
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

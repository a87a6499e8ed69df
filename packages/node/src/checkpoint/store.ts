/**
 * Checkpoints on the disk: a directory for each, which looks like that of a template and has two files more. It is complete or does not
 * exist: it is made under another name, flushed, and renamed.
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import {
  chmod,
  chown,
  copyFile,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
} from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { replaceFile } from "@caisson/linux";
import { CaissonError, type CheckpointId, type CheckpointInfo } from "@caisson/protocol";
import { z } from "zod";
import type { TemplateFiles } from "../driver/driver.ts";

const run = promisify(execFile);
const factsName = "checkpoint.json";
/** What the machine had written. */
export const writtenName = "written.qcow2";
const idPattern = /^[a-z0-9-]{1,80}$/;
/** Milliseconds to copy the memory of a template. */
const copyDeadline = 120_000;
const longestNote = 64 * 1024;
/** Bytes that the machine may have written to its disk. Its memory is bounded by its size, but a disk by default by 10 GiB. */
const mostWritten = 512 * 2 ** 20;

const factsSchema = z.object({
  version: z.literal(1),
  /** Of the template that it came from: everything that a saved state depends on. */
  key: z.string(),
  /** See `TemplateFacts`. */
  visibleMemory: z.int(),
  /** Of the machine, MiB. */
  memory: z.int(),
  vcpus: z.int(),
  /** Serials of the images that it has, in the order in which it got them. */
  images: z.array(z.string()),
  note: z.string().max(longestNote),
  madeAt: z.number(),
});

export type CheckpointFacts = z.infer<typeof factsSchema>;

export interface Checkpoint extends CheckpointFacts {
  readonly info: CheckpointInfo;
  readonly files: TemplateFiles;
}

export class CheckpointStore {
  readonly #root: string;
  readonly #names: Omit<TemplateFiles, "directory" | "writtenDisk">;

  /** @param directory on the file system of the machines' disk directories @param names of the files of a template */
  constructor(directory: string, names: Omit<TemplateFiles, "directory" | "writtenDisk">) {
    this.#root = directory;
    this.#names = names;
  }

  /**
   * Removes what a crash left half made, and what this version cannot read, because `list` does not have it. To be called while no machine
   * runs that is to be saved.
   */
  async open(): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#root))
      if (!idPattern.test(name) || (await this.get(name)) === undefined)
        await rm(join(this.#root, name), { recursive: true, force: true });
  }

  /**
   * Copies a template for a machine that will be saved.
   * @param uid of its monitor, which writes to the files @returns the files
   * @throws CaissonError `resource_exhausted` when the disk is full
   */
  async draft(template: TemplateFiles): Promise<TemplateFiles> {
    // Not a name of a checkpoint, see `open`.
    const directory = join(this.#root, `.draft.${randomUUID()}`);
    const files: TemplateFiles = { ...this.#names, directory };
    try {
      // Only we can enter the directory above it.
      await mkdir(directory, { mode: 0o755 });
      // Holes stay holes: a fifth of the memory is used.
      await run(
        "cp",
        ["--sparse=always", "--reflink=auto", join(template.directory, template.ram), this.#path(files, "ram")],
        {
          timeout: copyDeadline,
        },
      );
      for (const name of ["state", "layerDisk"] as const)
        await copyFile(join(template.directory, template[name]), this.#path(files, name), constants.COPYFILE_FICLONE);
      await share(join(template.directory, template.blankDisk), this.#path(files, "blankDisk"));
      return files;
    } catch (error) {
      await this.discard(files);
      throw diskFull(error);
    }
  }

  /** Gives the files that a machine writes to its monitor's user. */
  async handOver(files: TemplateFiles, uid: number | undefined): Promise<void> {
    for (const name of ["ram", "state"] as const) {
      await chmod(this.#path(files, name), 0o600);
      if (uid !== undefined) await chown(this.#path(files, name), uid, uid);
    }
  }

  /** Idempotent. */
  async discard({ directory }: TemplateFiles): Promise<void> {
    await rm(directory, { recursive: true, force: true });
  }

  /**
   * Makes a checkpoint of a draft whose machine was saved and has ended. Replaces one of the same id.
   * @throws CaissonError `unsupported` when the machine wrote too much, `resource_exhausted` when the disk is full
   */
  async commit(id: CheckpointId, draft: TemplateFiles, facts: Omit<CheckpointFacts, "version">): Promise<Checkpoint> {
    const target = this.#directory(id);
    const text = JSON.stringify(factsSchema.parse({ version: 1, ...facts }));
    const written = (await stat(join(draft.directory, writtenName))).size;
    if (written > mostWritten)
      throw new CaissonError(
        "unsupported",
        `The program wrote ${Math.ceil(written / 2 ** 20)} MiB to the disk when it started. A checkpoint can have ${mostWritten / 2 ** 20} MiB.`,
      );
    try {
      for (const name of [this.#names.ram, this.#names.state, writtenName]) {
        const path = join(draft.directory, name);
        await chown(path, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
        await chmod(path, 0o444);
      }
      for (const name of await readdir(draft.directory)) await flush(join(draft.directory, name));
      await replaceFile(join(draft.directory, factsName), `${text}\n`);
    } catch (error) {
      throw diskFull(error);
    }
    await this.remove(id);
    await rename(draft.directory, target);
    await flush(this.#root);
    const made = await this.get(id);
    if (made === undefined) throw new CaissonError("internal", `Checkpoint ${id} was removed while it was made.`);
    return made;
  }

  /** @returns undefined when there is none, or it is damaged */
  async get(id: CheckpointId): Promise<Checkpoint | undefined> {
    const directory = this.#directory(id);
    const path = join(directory, factsName);
    const text = await readFile(path, "utf8").catch(() => "{");
    const facts = factsSchema.safeParse(parse(text)).data;
    const found = await stat(path).catch(() => undefined);
    if (facts === undefined || found === undefined) return undefined;
    const { note, madeAt } = facts;
    const info = { id, note, bytes: await size(directory), madeAt, usedAt: Math.round(found.mtimeMs) };
    return { ...facts, info, files: { ...this.#names, directory, writtenDisk: writtenName } };
  }

  /** Remembers that it was used now. */
  async touch(id: CheckpointId): Promise<void> {
    const now = new Date();
    await utimes(join(this.#directory(id), factsName), now, now).catch(() => undefined);
  }

  /** Idempotent. A crash leaves it whole, or as something that `open` removes. */
  async remove(id: CheckpointId): Promise<void> {
    const gone = join(this.#root, `.removed.${randomUUID()}`);
    try {
      await rename(this.#directory(id), gone);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    await rm(gone, { recursive: true, force: true });
  }

  /** Empty before `open`. */
  async list(): Promise<readonly CheckpointId[]> {
    const names = await readdir(this.#root).catch((error: NodeJS.ErrnoException): string[] => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    return names.filter((name) => idPattern.test(name));
  }

  #directory(id: CheckpointId): string {
    if (!idPattern.test(id))
      throw new CaissonError("invalid_argument", `"${id.slice(0, 100)}" is not the id of a checkpoint.`);
    return join(this.#root, id);
  }

  #path(files: TemplateFiles, name: "ram" | "state" | "layerDisk" | "blankDisk"): string {
    return join(files.directory, files[name]);
  }
}

/** The same file under another name where that is possible. Nobody writes it any more. */
async function share(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copyFile(from, to, constants.COPYFILE_FICLONE));
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Bytes that a directory takes on the disk. */
async function size(directory: string): Promise<number> {
  let blocks = 0;
  for (const name of await readdir(directory).catch(() => [])) {
    const found = await stat(join(directory, name)).catch(() => undefined);
    blocks += found?.blocks ?? 0;
  }
  return blocks * 512;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function diskFull(error: unknown): unknown {
  const { code, stderr = "" } = error as { code?: unknown; stderr?: string };
  if (code !== "ENOSPC" && !/No space left/.test(stderr)) return error;
  return new CaissonError("resource_exhausted", "The disk of the node is full.", { cause: error });
}

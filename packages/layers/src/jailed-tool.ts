/**
 * Runs disk tools on what guests wrote: QEMU's tools on images, which their monitors wrote as well, and mkfs.erofs on trees of files. A compromised monitor can write any name into the header of
 * its image, at any moment, and any structure into the image. So:
 *
 * - the chain is described in full (`imageChain`), and names of backing files in headers mean nothing;
 * - the tool runs in a jail that contains these images, read-only, and one file to write to. What a header names besides a backing file
 *   (an external data file) does not exist there;
 * - it has a user of its own, no network, an allow list of system calls, and limits for memory, processor time and file size.
 */
import { chmod, chown, stat } from "node:fs/promises";
import { jailBase, jailEnd, seccompFilter } from "@caisson/linux";
import { runTool, type ToolOptions } from "./tool.ts";

/** Above those of monitors (`packages/node/src/runtime/users.ts`). Each run has the next one. */
const firstUid = 1_900_200_000;
const uids = 1000;
let runs = 0;

/** Bytes of address space: QEMU's tools need less than one GiB for an image of a TiB. */
const addressSpace = 4 * 2 ** 30;
/** A chain has at most 256 images. */
const openFiles = 400;
/** What an output may be larger than all inputs together, bytes: its tables, which may be less shared. */
const growth = 64 * 2 ** 20;

const output = "/output";

export interface JailedToolOptions extends Omit<ToolOptions, "descriptor3" | "name"> {
  /** Paths on the host, top first. */
  readonly images: readonly string[];
  /** A directory of the host with files that the tool reads, at `treeName`, and the bytes in it. */
  readonly tree?: { readonly path: string; readonly bytes: number };
  /** An existing file that the tool may change. It belongs to our own user again when this returns. */
  readonly output?: string;
}

/** A description for `-blockdev`: QEMU's QAPI reference, BlockdevOptions. */
export type Block = Readonly<Record<string, unknown>>;

/** The images of a run as one block device. @param options more options by position, 0 is the top */
export function imageChain(count: number, options: (index: number) => object = () => ({}), from = 0): Block | null {
  if (from >= count) return null;
  return {
    driver: "qcow2",
    "read-only": true,
    ...options(from),
    // Machines may have the images open. Nobody writes them.
    file: { driver: "file", filename: `/images/${from}`, "read-only": true, locking: "off" },
    // Null at the bottom: without it, the tool would follow the name in the header.
    backing: imageChain(count, options, from + 1),
  };
}

/** The output of a run as a block device over another. */
export function outputBlock(backing: Block | null): Block {
  return { driver: "qcow2", "node-name": "output", file: { driver: "file", filename: output }, backing };
}

/** As a file name for `qemu-img`. */
export function asFileName(block: Block | null): string {
  return `json:${JSON.stringify(block)}`;
}

export const outputName = output;
export const treeName = "/tree";

/** @returns the exit code @throws as `runTool` */
export async function runJailed(
  program: "qemu-img" | "qemu-storage-daemon" | "mkfs.erofs",
  args: readonly string[],
  options: JailedToolOptions,
): Promise<number> {
  const { images, tree, output: written, deadline = 60_000, ...rest } = options;
  const uid = process.getuid?.() === 0 ? firstUid + (runs++ % uids) : undefined;
  let inputBytes = tree?.bytes ?? 0;
  for (const path of images) {
    const { mode, size } = await stat(path);
    inputBytes += size;
    // Only we can enter the directory of the image. So "readable by all" means readable through a mount or link that we made.
    if (uid !== undefined && (mode & 0o444) !== 0o444) await chmod(path, (mode & 0o777) | 0o444);
  }
  const path = `/usr/bin/${program}`;
  const jail = [...jailBase(path, { directories: ["/images"], endsWithUs: true }), "--seccomp", "3"];
  for (const [index, image] of images.entries()) jail.push("--ro-bind", image, `/images/${index}`);
  if (tree !== undefined) jail.push("--ro-bind", tree.path, treeName);
  if (written !== undefined) jail.push("--bind", written, output);
  const limits = {
    core: 0,
    as: addressSpace,
    nofile: openFiles,
    cpu: Math.ceil(deadline / 1000),
    fsize: written === undefined ? 0 : inputBytes + growth,
  };
  const flags = Object.entries(limits).map(([name, value]) => `--${name}=${value}`);
  const owner = written === undefined ? undefined : await stat(written);
  if (written !== undefined && uid !== undefined) await chown(written, uid, uid);
  try {
    return await runTool("prlimit", [...flags, ...jail, ...jailEnd(uid), path, ...args], {
      ...rest,
      deadline,
      name: `${program} ${args[0]?.replace(/^-.*/, "") ?? ""}`.trim(),
      descriptor3: seccompFilter({ createFiles: written !== undefined }),
    });
  } finally {
    if (written !== undefined && uid !== undefined) await chown(written, owner!.uid, owner!.gid);
  }
}

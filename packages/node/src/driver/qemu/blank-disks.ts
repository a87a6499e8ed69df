/** The writable layer that every sandbox starts with: an empty ext4, formatted once, and an empty overlay that is copied for each machine. */
import { execFile } from "node:child_process";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { CaissonError } from "@caisson/protocol";
import { rehearsalBytes } from "../driver.ts";

const run = promisify(execFile);
const deadlineMs = 60_000;

export const templateDisks = {
  blankDisk: "blank.qcow2",
  layerDisk: "layer.qcow2",
  rehearsalDisk: "rehearsal.qcow2",
} as const;

/**
 * Inode tables and journal count as written: zeros in a sparse file cost nothing and vanish in the qcow2, whereas tables marked as
 * unwritten would keep a kernel thread in every sandbox busy zeroing them, and its disk growing. No checksums of metadata: the
 * layer goes with its machine, and an emulated processor pays for each. The journal stays, or a saved root would need checks.
 */
const ext4Features = "^metadata_csum,^orphan_file";
const ext4Extended = "discard,lazy_itable_init=0,lazy_journal_init=0";
const ext4Options = ["-q", "-F", "-t", "ext4", "-m", "0", "-L", "caisson", "-O", ext4Features, "-E", ext4Extended];

/** A disk like those of volumes, which keep checksums: clones rehearse with it what they will do with an owner's root. */
const volumeOptions = ["-q", "-F", "-t", "ext4", "-m", "0", "-O", "^orphan_file", "-E", ext4Extended];

/** @throws CaissonError `internal` when mke2fs or qemu-img fails */
export async function createTemplateDisks(directory: string, bytes: number): Promise<void> {
  const blank = join(directory, templateDisks.blankDisk);
  try {
    await format(blank, bytes, ext4Options);
    await format(join(directory, templateDisks.rehearsalDisk), rehearsalBytes, volumeOptions);
    await run(
      "qemu-img",
      [
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "qcow2",
        "-b",
        templateDisks.blankDisk,
        join(directory, templateDisks.layerDisk),
      ],
      {
        timeout: deadlineMs,
      },
    );
  } catch (cause) {
    throw new CaissonError(
      "internal",
      "Formatting the disks of a template failed. See the cause: mke2fs or qemu-img.",
      { cause },
    );
  }
}

async function format(image: string, bytes: number, options: readonly string[]): Promise<void> {
  const raw = `${image}.raw`;
  try {
    const file = await open(raw, "wx");
    await file.truncate(bytes);
    await file.close();
    await run("/usr/sbin/mke2fs", [...options, raw], { timeout: deadlineMs });
    await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", raw, image], { timeout: deadlineMs });
  } finally {
    await rm(raw, { force: true });
  }
}

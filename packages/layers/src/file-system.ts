/** Makes the file system of a new volume. The host never mounts a volume, because its content comes from guests. */
import { open, rm } from "node:fs/promises";
import { flush } from "./durable.ts";
import { runTool } from "./tool.ts";

/**
 * Writes a qcow2 image that holds an empty ext4, flushed to the disk.
 *
 * Inode tables are laid out at once (they are holes here): otherwise the first guest that mounts the volume writes zeros over them
 * in the background. No blocks are kept for root: users are promised the capacity. No orphan file: each mount would read all of it,
 * block by block, 298 of them in a volume of 5 GB, which is most of the time that such a mount took.
 */
export async function formatImage(path: string, bytes: number): Promise<void> {
  const raw = `${path}.raw`;
  try {
    const file = await open(raw, "wx", 0o600);
    try {
      await file.truncate(bytes);
    } finally {
      await file.close();
    }
    await runTool("mkfs.ext4", [
      "-q",
      "-F",
      "-m",
      "0",
      "-O",
      "^orphan_file",
      "-E",
      "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
      raw,
    ]);
    await runTool("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", "-o", "compat=1.1,cluster_size=64k", raw, path]);
    await flush(path);
  } finally {
    await rm(raw, { force: true });
  }
}

/** Gives back what a machine held whose record is missing, damaged, or of a newer version. Its key is known, and that is enough. */
import { chown, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { machineDirectories, removeMachineDirectories } from "../runtime/directories.ts";
import type { HostResources } from "./holdings.ts";

/** The machine's processes have ended. Idempotent. */
export async function giveBackUnrecorded(host: HostResources, key: string): Promise<void> {
  await host.cgroups.named(`${host.groupPrefix}${key}`).destroy();
  const directories = machineDirectories(host.directories, key);
  await reclaimLinks(directories.disks);
  await removeMachineDirectories(directories);
}

/** Gives images that are linked into the disk directory of a machine back to our own user. Their other names are those of volumes. */
export async function reclaimLinks(directory: string): Promise<void> {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    const path = join(directory, name);
    const found = await lstat(path);
    if (found.isFile() && found.nlink > 1 && found.uid !== uid) await chown(path, uid, gid);
  }
}

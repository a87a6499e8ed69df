/**
 * Disk images that outlive a machine, made visible to its jailed monitor: hard links in the machine's disk directory, which is
 * mounted in the jail. So a volume can be added to a running machine, and a monitor never sees the directory of all images.
 */
import { chmod, chown, link, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { CaissonError } from "@caisson/protocol";
import { type DiskFile, type DiskSource, ownerRootSerial } from "../driver/driver.ts";

/** An attached disk with the paths of its images. */
export interface DiskImages {
  /** Top first; the machine writes to the first. */
  readonly images: readonly [string, ...string[]];
  readonly readOnly: boolean;
  readonly throwAway?: boolean;
  readonly serial: string;
}

export interface RootImages extends DiskImages {
  readonly bytes: number;
}

export interface VolumeImages extends DiskImages {
  readonly path: string;
}

export interface LinkPlace {
  readonly directory: string;
  /** Of the monitor; absent: our own. */
  readonly uid: number | undefined;
}

/** Links an attachment's image and all below it. @param serial as the guest knows the disk */
export async function linkDisk(place: LinkPlace, attachment: DiskImages, serial: string): Promise<DiskSource> {
  const chain: DiskFile[] = [];
  for (const [index, image] of attachment.images.entries()) {
    const name = index === 0 ? `${serial}.0` : `${serial}.0.${index}`;
    await linkImage(place, image, name, index === 0 && !attachment.readOnly);
    chain.push({ place: "disks", name });
  }
  return { chain, readOnly: attachment.readOnly, serial, durable: attachment.throwAway !== true };
}

export async function linkOverlay(
  place: LinkPlace,
  image: string,
  serial: string,
  generation: number,
): Promise<DiskFile> {
  const name = `${serial}.${generation}`;
  await linkImage(place, image, name, true);
  return { place: "disks", name };
}

/** Removes the links of a disk. The monitor keeps the files that it has open. */
export async function unlinkDisk(place: LinkPlace, names: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => rm(join(place.directory, name), { force: true })));
}

/** Gives the images that a machine wrote back to our own user. */
export async function reclaimImages(images: readonly string[]): Promise<void> {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  await Promise.all(images.map((image) => chown(image, uid, gid).catch(() => undefined)));
}

/** Makes an image visible under `name`. @throws CaissonError `not_found`, `invalid_state` */
export async function linkImage(place: LinkPlace, image: string, name: string, writable: boolean): Promise<void> {
  try {
    await link(image, join(place.directory, name));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT")
      throw new CaissonError("not_found", `The disk image for "${name}" does not exist.`, { cause });
    if (code === "EXDEV") {
      throw new CaissonError(
        "invalid_state",
        "Disk images must be on the same file system as CAISSON_HOME, because they are hard-linked.",
        { cause },
      );
    }
    throw cause;
  }
  if (place.uid === undefined) return;
  if (writable) await chown(image, place.uid, place.uid);
  // Only we can enter the directory of the image. So "readable by all" means readable through a link that we made.
  else await chmod(image, ((await stat(image)).mode & 0o777) | 0o444);
}

/** A machine's name for a disk may differ from the control plane's: the root that it was restored with has that name already. */
export function guestSerial(attachment: { readonly serial: string; readonly root: boolean }): string {
  return attachment.root ? ownerRootSerial : attachment.serial;
}

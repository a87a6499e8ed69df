/** The disk under a machine's writable layer: a fresh one that goes with it, or one that its owner named. */
import { constants } from "node:fs";
import { chown, copyFile } from "node:fs/promises";
import { join } from "node:path";
import type { DiskAttachment } from "@caisson/protocol";
import { type DiskSource, rootSerial, type TemplateFiles } from "../driver/driver.ts";
import { diskFiles } from "../template/blank-disk.ts";
import type { Clone } from "./clone.ts";
import { guestSerial, linkDisk, type LinkPlace } from "./disk-links.ts";
import { guestError } from "./guest-error.ts";

/** A fresh layer that goes with the machine: an empty overlay over the template's formatted disk. */
export async function createFreshRoot(place: LinkPlace, template: TemplateFiles): Promise<DiskSource> {
  const name = `${rootSerial}.0`;
  const path = join(place.directory, name);
  await copyFile(join(template.directory, diskFiles.layer), path, constants.COPYFILE_FICLONE);
  if (place.uid !== undefined) await chown(path, place.uid, place.uid);
  return {
    chain: [
      { place: "disks", name },
      { place: "template", name: template.blankDisk },
    ],
    readOnly: false,
    serial: rootSerial,
    // It does not outlive the host, so a flush inside the guest need not reach the host's disk.
    durable: false,
  };
}

/** Emulated guests on a busy host; a disk that cannot be mounted fails at once. */
const changeRootDeadlineMs = 20_000;

/**
 * Moves a clone onto its owner's root disk. The disk is added to the clone and not given to its restore: so a clone from the pool
 * will do, and a disk may have any size, which a guest restored from a template would not notice by itself.
 * @param ready pending work on the clone, after which it runs
 * @throws CaissonError `guest_error` when the guest cannot use the disk; the caller then discards the clone
 */
export async function changeRoot(
  { vm, agent, holdings }: Clone,
  attachment: DiskAttachment,
  ready: Promise<void>,
): Promise<void> {
  const { serial, readOnly, image } = attachment;
  const place = { directory: holdings.directories.disks, uid: holdings.uid };
  const name = guestSerial({ serial, root: true });
  // The record first: whoever clears up after a crash then knows which image to take back.
  await holdings.update({ disks: [...holdings.record.disks, { serial, root: true, readOnly, images: [image] }] });
  await vm.attachDisk(await linkDisk(place, attachment, name));
  await ready;
  const changed = agent.machine.changeRoot(
    { rootSerial: name, growRoot: true, timeoutMs: changeRootDeadlineMs / 2 },
    { timeoutMs: changeRootDeadlineMs },
  );
  await guestError("start from its root disk", changed);
}

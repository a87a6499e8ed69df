/** The disk under a machine's writable layer that goes with the machine. */
import { constants } from "node:fs";
import { chown, copyFile } from "node:fs/promises";
import { join } from "node:path";
import { type DiskSource, rootSerial, type TemplateFiles } from "../driver/driver.ts";
import { diskFiles } from "../template/blank-disk.ts";
import type { LinkPlace } from "./disk-links.ts";

/** A fresh layer that goes with the machine: an empty overlay over the template's formatted disk. */
export async function createFreshRoot(
  place: LinkPlace,
  template: TemplateFiles,
  serial = rootSerial,
): Promise<DiskSource> {
  const name = `${serial}.0`;
  const path = join(place.directory, name);
  await copyFile(join(template.directory, diskFiles.layer), path, constants.COPYFILE_FICLONE);
  if (place.uid !== undefined) await chown(path, place.uid, place.uid);
  return {
    chain: [
      { place: "disks", name },
      { place: "template", name: template.blankDisk },
    ],
    readOnly: false,
    serial,
    // It does not outlive the host, so a flush inside the guest need not reach the host's disk.
    durable: false,
  };
}

/** The writable disk that is deleted together with its machine. */
import { constants } from "node:fs";
import { chown, copyFile } from "node:fs/promises";
import { join } from "node:path";
import { type DiskSource, ownerRootSerial, rehearsalBytes, rootSerial, type TemplateFiles } from "../driver/driver.ts";
import type { LinkPlace } from "../holdings/disk-links.ts";

/** An empty overlay over the disk of the template or the checkpoint. */
export async function createFreshRoot(place: LinkPlace, template: TemplateFiles): Promise<DiskSource> {
  const name = `${rootSerial}.0`;
  await copyForMonitor(place, join(template.directory, template.layerDisk), name);
  return {
    chain: [
      { place: "disks", name },
      ...(template.writtenDisk === undefined ? [] : [{ place: "template" as const, name: template.writtenDisk }]),
      { place: "template", name: template.blankDisk },
    ],
    readOnly: false,
    serial: rootSerial,
    // It does not outlive the host, so a flush inside the guest need not reach the host's disk.
    durable: false,
  };
}

/** A disk like an owner's root, deleted after a rehearsal. */
export async function createRehearsalRoot(
  place: LinkPlace,
  template: TemplateFiles,
): Promise<{ disk: DiskSource; bytes: number }> {
  const name = `${ownerRootSerial}.0`;
  await copyForMonitor(place, join(template.directory, template.rehearsalDisk), name);
  return {
    disk: { chain: [{ place: "disks", name }], readOnly: false, serial: ownerRootSerial, durable: false },
    bytes: rehearsalBytes,
  };
}

async function copyForMonitor(place: LinkPlace, from: string, name: string): Promise<void> {
  const path = join(place.directory, name);
  await copyFile(from, path, constants.COPYFILE_FICLONE);
  if (place.uid !== undefined) await chown(path, place.uid, place.uid);
}

/** The disks of a running machine, besides the one that is deleted with it. */
import { CaissonError, errnoOf, type ImageName } from "@caisson/protocol";
import type { AgentClient } from "../agent/client.ts";
import { ownerRootSerial, rootSerial, type Vm } from "../driver/driver.ts";
import {
  guestSerial,
  linkDisk,
  linkImage,
  linkOverlay,
  unlinkDisk,
  type VolumeImages,
} from "../holdings/disk-links.ts";
import type { Holdings } from "../holdings/holdings.ts";
import { guestError } from "./guest-error.ts";

/** File systems stay frozen at most this long; then the agent thaws them itself. */
const freezeMs = 15_000;

interface RunningDisksOptions {
  readonly vm: Vm;
  readonly agent: AgentClient;
  readonly holdings: Holdings;
}

export class RunningDisks {
  readonly #options: RunningDisksOptions;
  readonly #images = new Map<ImageName, Promise<void>>();

  constructor(options: RunningDisksOptions) {
    this.#options = options;
  }

  /** Adds a disk to the running machine and mounts it. */
  async attachVolume(volume: VolumeImages): Promise<void> {
    const { agent, holdings, vm } = this.#options;
    const { serial, readOnly, images } = volume;
    if (!/^[a-z0-9-]{1,20}$/.test(serial) || ["base", rootSerial, ownerRootSerial].includes(serial)) {
      throw new CaissonError(
        "invalid_argument",
        `"${serial}" is not a valid disk name. Use 1 to 20 characters of a-z, 0-9 and hyphen; "base", "${rootSerial}" and "${ownerRootSerial}" are reserved.`,
      );
    }
    if (holdings.record.disks.some((disk) => disk.serial === serial)) {
      throw new CaissonError("already_exists", `The sandbox already has a disk with the name "${serial}".`);
    }
    const place = { directory: holdings.directories.disks, uid: holdings.uid };
    // The record first: after a crash the next process then knows which images to take back.
    const entry = { serial, root: false, readOnly, images: [images[0]] };
    await holdings.update(({ disks }) => ({ disks: [...disks, entry] }));
    let names: readonly string[] = [];
    try {
      const source = await linkDisk(place, volume, serial);
      names = source.chain.map(({ name }) => name);
      await vm.attachDisk(source);
      const mount = agent.machine.mountVolume(
        { serial, path: volume.path, readOnly, timeoutMs: 10_000 },
        { timeoutMs: 20_000 },
      );
      await guestError(`mount a volume at ${volume.path}`, mount);
    } catch (error) {
      await vm.detachDisk(serial).catch(() => undefined);
      await unlinkDisk(place, names);
      await holdings.update(({ disks }) => ({ disks: disks.filter((disk) => disk.serial !== serial) }));
      throw error;
    }
  }

  /**
   * Adds a read-only image of the platform and mounts it. It is in no record: nothing of it has to be given back.
   * @param file in the directory of the volumes' file system, see `ImageLibrary`
   */
  attachImage(name: ImageName, file: string, path: string): Promise<void> {
    let attached = this.#images.get(name);
    if (attached === undefined) {
      attached = this.#attachImage(name, file, path);
      this.#images.set(name, attached);
      // A failure is not remembered.
      attached.catch(() => this.#images.delete(name));
    }
    return attached;
  }

  async #attachImage(name: ImageName, file: string, path: string): Promise<void> {
    const { agent, holdings, vm } = this.#options;
    const serial = `image-${name}`;
    const place = { directory: holdings.directories.disks, uid: holdings.uid };
    // A former process may have done it.
    if (!(await vm.diskGenerations()).has(serial)) {
      await unlinkDisk(place, [serial]);
      await linkImage(place, file, serial, false);
      await vm.attachImage(serial, serial);
    }
    const mount = agent.machine.mountVolume({ serial, path, readOnly: true, timeoutMs: 10_000 }, { timeoutMs: 20_000 });
    // The agent mounts a disk once, and a former call may have got as far.
    await guestError(`mount an image at ${path}`, mount.catch(unlessBusy));
  }

  /** The path of the image that a disk writes to. @throws CaissonError `not_found`, and when the monitor does not answer */
  async imageOf(serial: string): Promise<string> {
    await this.#settle(serial);
    return this.#disk(serial).images.at(-1)!;
  }

  /** Puts the empty image `overlay` on top of a disk while the guest's file system on it is frozen. */
  async overlayDisk(serial: string, overlay: string): Promise<void> {
    const inGuest = [guestSerial(this.#disk(serial))];
    const { machine } = this.#options.agent;
    await guestError(
      "freeze its file systems",
      machine.freeze({ serials: inGuest, timeoutMs: freezeMs }, { timeoutMs: freezeMs }),
    );
    try {
      await this.#overlayFrozen(serial, overlay);
    } finally {
      // A guest that does not answer thaws by itself after `freezeMs`.
      await machine.thaw({ serials: inGuest }, { timeoutMs: 5000 }).catch(() => undefined);
    }
  }

  async #overlayFrozen(serial: string, overlay: string): Promise<void> {
    const { holdings, vm } = this.#options;
    const disk = this.#disk(serial);
    const inGuest = guestSerial(disk);
    const place = { directory: holdings.directories.disks, uid: holdings.uid };
    const generation = disk.images.length;
    await this.#recordImages(serial, [...disk.images, overlay]);
    try {
      const file = await linkOverlay(place, overlay, inGuest, generation);
      await vm.overlayDisk(inGuest, generation, file, true);
    } catch (error) {
      // A monitor that answers too late may have done it. When it does not answer at all, the next overlay settles this.
      await this.#settle(serial).catch(() => undefined);
      throw error;
    }
  }

  /** Removes what is left of overlays that the disk does not write to: an attempt failed, or its process was killed. */
  async #settle(serial: string): Promise<void> {
    const { holdings, vm } = this.#options;
    const disk = this.#disk(serial);
    const inGuest = guestSerial(disk);
    const written = (await vm.diskGenerations()).get(inGuest);
    // Without an answer about this disk what is recorded stays: it is what is given back at the end.
    if (written === undefined || written + 1 >= disk.images.length) return;
    const count = written + 1;
    for (let generation = count; generation < disk.images.length; generation++) {
      await vm.discardOverlay(inGuest, generation);
      await unlinkDisk({ directory: holdings.directories.disks, uid: holdings.uid }, [`${inGuest}.${generation}`]);
    }
    await this.#recordImages(serial, disk.images.slice(0, count));
  }

  #recordImages(serial: string, images: readonly string[]): Promise<void> {
    return this.#options.holdings.update(({ disks }) => ({
      disks: disks.map((entry) => (entry.serial === serial ? { ...entry, images: [...images] } : entry)),
    }));
  }

  /** The path of the image that each disk writes to now, by serial, as the monitor reports it. */
  async diskImages(): Promise<ReadonlyMap<string, string>> {
    const { holdings, vm } = this.#options;
    const generations = await vm.diskGenerations();
    const images = new Map<string, string>();
    for (const disk of holdings.record.disks) {
      // The monitor is right; after a crash the record may be one step ahead of it.
      const image = disk.images[generations.get(guestSerial(disk)) ?? 0];
      if (image !== undefined) images.set(disk.serial, image);
    }
    return images;
  }

  /** Serials of the disks that it writes to and that outlive it. */
  writable(): readonly string[] {
    return this.#options.holdings.record.disks.filter(({ readOnly }) => !readOnly).map(({ serial }) => serial);
  }

  #disk(serial: string) {
    const disk = this.#options.holdings.record.disks.find((entry) => entry.serial === serial);
    if (disk === undefined) throw new CaissonError("not_found", `The sandbox has no disk "${serial}".`);
    return disk;
  }
}

function unlessBusy(error: unknown): void {
  if (errnoOf(error) !== "EBUSY") throw error;
}

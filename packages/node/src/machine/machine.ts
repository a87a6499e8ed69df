/** A machine that was handed out. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { processCpuMicros, processMemoryBytes } from "@caisson/linux";
import { type Agent, CaissonError, type MachineExit, type MachineUsage } from "@caisson/protocol";
import type { AgentClient } from "../agent/client.ts";
import { ownerRootSerial, rootSerial, type Vm } from "../driver/driver.ts";
import { guestSerial, linkDisk, linkOverlay, unlinkDisk, type VolumeImages } from "../holdings/disk-links.ts";
import type { Holdings } from "../holdings/holdings.ts";
import { guestError } from "./guest-error.ts";

/** How long file systems may stay frozen when nobody thaws them; the agent then does so itself. */
const freezeMs = 15_000;
/** Longest wait for a guest to write back what it holds for disks that outlive it. */
const flushMs = 3000;

export interface RunningMachineOptions {
  readonly id: string;
  readonly vm: Vm;
  readonly agent: AgentClient;
  readonly holdings: Holdings;
  /** See `MachineInfo.caCertificatePem`. */
  readonly caCertificatePem: string | undefined;
  /** Runs after the machine has ended, before what it held is given back. */
  readonly onEnd: (exit: MachineExit) => Promise<void>;
}

export class RunningMachine {
  readonly id: string;
  readonly agent: Agent;
  readonly caCertificatePem: string | undefined;
  /** Resolves when the machine has ended and everything it held on the host has been given back. */
  readonly exited: Promise<MachineExit>;
  readonly #options: RunningMachineOptions;
  readonly #exit = Promise.withResolvers<MachineExit>();
  #stopping: Promise<void> | undefined;
  #finishing: Promise<void> | undefined;
  #lastCpuMicros = 0;

  constructor(options: RunningMachineOptions) {
    this.#options = options;
    this.id = options.id;
    this.agent = options.agent;
    this.caCertificatePem = options.caCertificatePem;
    this.exited = this.#exit.promise;
    // What fails here is tried again by `stop`.
    void options.vm.exited.then((exit) => this.#finish(exit)).catch(() => undefined);
  }

  /** Ends the machine at once and gives everything back. Idempotent; can be called again after it failed. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop().catch((error: unknown) => {
      this.#stopping = undefined;
      throw error;
    });
    return this.#stopping;
  }

  async usage(): Promise<MachineUsage> {
    const { holdings, vm } = this.#options;
    const { pid } = vm.process;
    const [cpu, memoryBytes, diskBytes] = await Promise.all([
      this.#cpuMicros().catch(() => undefined),
      processMemoryBytes(pid).catch(() => 0),
      this.#rootBytes().catch(() => 0),
    ]);
    // A machine that just ended still answers for what it used.
    this.#lastCpuMicros = Math.max(this.#lastCpuMicros, cpu ?? 0);
    return { cpuMicros: Math.max(0, this.#lastCpuMicros - holdings.record.cpuBaseMicros), memoryBytes, diskBytes };
  }

  /** Adds a disk to the running machine and mounts it. */
  async attachVolume(volume: VolumeImages): Promise<void> {
    const { holdings, vm } = this.#options;
    const { serial, readOnly, images } = volume;
    if (!/^[a-z0-9-]{1,20}$/.test(serial) || ["base", rootSerial, ownerRootSerial].includes(serial)) {
      throw new CaissonError("invalid_argument", `"${serial}" cannot name a disk: use 1 to 20 of a-z, 0-9 and hyphen.`);
    }
    const { disks } = holdings.record;
    if (disks.some((disk) => disk.serial === serial)) {
      throw new CaissonError("already_exists", `The sandbox already has a disk "${serial}".`);
    }
    const place = { directory: holdings.directories.disks, uid: holdings.uid };
    // The record first: whoever clears up after a crash then knows which images to take back.
    await holdings.update({ disks: [...disks, { serial, root: false, readOnly, images: [images[0]] }] });
    let names: readonly string[] = [];
    try {
      const source = await linkDisk(place, volume, serial);
      names = source.chain.map(({ name }) => name);
      await vm.attachDisk(source);
      const mount = this.agent.machine.mountVolume(
        { serial, path: volume.path, readOnly, timeoutMs: 10_000 },
        { timeoutMs: 20_000 },
      );
      await guestError(`mount a volume at ${volume.path}`, mount);
    } catch (error) {
      await vm.detachDisk(serial).catch(() => undefined);
      await unlinkDisk(place, names);
      await holdings.update({ disks: holdings.record.disks.filter((disk) => disk.serial !== serial) });
      throw error;
    }
  }

  /** The path of the image that a disk writes to, by the record. @throws CaissonError `not_found` */
  imageOf(serial: string): string {
    return this.#disk(serial).images.at(-1)!;
  }

  /** Lays the empty image `overlay` over a disk while the guest's file system on it is frozen. */
  async overlayDisk(serial: string, overlay: string): Promise<void> {
    const inGuest = [guestSerial(this.#disk(serial))];
    const { machine } = this.agent;
    await guestError(
      "freeze its file systems",
      machine.freeze({ serials: inGuest, timeoutMs: freezeMs }, { timeoutMs: freezeMs }),
    );
    try {
      await this.#overlayFrozen(serial, overlay);
    } finally {
      // A guest that does not answer thaws by its own clock.
      await machine.thaw({ serials: inGuest }, { timeoutMs: 5000 }).catch(() => undefined);
    }
  }

  async #overlayFrozen(serial: string, overlay: string): Promise<void> {
    const { holdings, vm } = this.#options;
    const disk = this.#disk(serial);
    const inGuest = guestSerial(disk);
    const place = { directory: holdings.directories.disks, uid: holdings.uid };
    const generation = disk.images.length;
    const images = [...disk.images, overlay];
    const replace = (to: readonly string[]) =>
      holdings.update({
        disks: holdings.record.disks.with(
          holdings.record.disks.findIndex((entry) => entry.serial === serial),
          { ...disk, images: [...to] },
        ),
      });
    await replace(images);
    try {
      const file = await linkOverlay(place, overlay, inGuest, generation);
      await vm.overlayDisk(inGuest, generation, file, true);
    } catch (error) {
      await unlinkDisk(place, [`${inGuest}.${generation}`]);
      await replace(disk.images);
      throw error;
    }
  }

  /** The path of the image that each disk writes to now, by serial, as the monitor reports it. */
  async diskImages(): Promise<ReadonlyMap<string, string>> {
    const { holdings, vm } = this.#options;
    const generations = await vm.diskGenerations();
    const images = new Map<string, string>();
    for (const disk of holdings.record.disks) {
      // The monitor knows for certain; the record may be one step ahead of it after a crash.
      const image = disk.images[generations.get(guestSerial(disk)) ?? 0];
      if (image !== undefined) images.set(disk.serial, image);
    }
    return images;
  }

  /** Lets go of the machine without ending it. */
  release(): void {
    this.#options.agent.end();
    this.#options.vm.release();
  }

  #disk(serial: string) {
    const disk = this.#options.holdings.record.disks.find((entry) => entry.serial === serial);
    if (disk === undefined) throw new CaissonError("not_found", `The sandbox has no disk "${serial}".`);
    return disk;
  }

  async #stop(): Promise<void> {
    const { holdings, vm } = this.#options;
    if (holdings.record.disks.some((disk) => !disk.readOnly)) {
      await this.agent.machine.shutdown({}, { timeoutMs: flushMs }).catch(() => undefined);
    }
    await vm.stop();
    await this.#finish(await vm.exited);
  }

  /** After the monitor has ended: gives everything back. Once; again after it failed. */
  #finish(exit: MachineExit): Promise<void> {
    this.#finishing ??= this.#giveBack(exit).catch((error: unknown) => {
      this.#finishing = undefined;
      throw error;
    });
    return this.#finishing;
  }

  async #giveBack(exit: MachineExit): Promise<void> {
    const { agent, holdings, onEnd } = this.#options;
    this.#lastCpuMicros = Math.max(this.#lastCpuMicros, (await this.#cpuMicros().catch(() => undefined)) ?? 0);
    agent.end();
    await onEnd(exit);
    await holdings.giveBack();
    this.#exit.resolve(exit);
  }

  async #cpuMicros(): Promise<number | undefined> {
    return (await this.#options.holdings.cgroup.cpuMicros()) ?? processCpuMicros(this.#options.vm.process.pid);
  }

  async #rootBytes(): Promise<number> {
    const { holdings } = this.#options;
    const root = holdings.record.disks.find((disk) => disk.root);
    const path = root?.images.at(-1) ?? join(holdings.directories.disks, "root.0");
    return (await stat(path)).blocks * 512;
  }
}

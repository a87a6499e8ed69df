/**
 * What the engine asks of a virtual machine monitor. One folder beside this file implements it per monitor; nothing outside that
 * folder knows which one runs.
 */
import type { ProcessIdentity } from "@caisson/linux";
import type { Config, MachineExit } from "@caisson/protocol";
import type { Logger } from "pino";

export type Accelerator = "kvm" | "tcg";

export interface VmShape {
  readonly vcpus: number;
  /** Memory that is in the template, MiB. Any further memory of a machine is plugged in after the restore. */
  readonly baseMemory: number;
  /** Memory that can be plugged in later, MiB. */
  readonly pluggableMemory: number;
  readonly accelerator: Accelerator;
}

/** The files of a template, all in one directory. */
export interface TemplateFiles {
  readonly directory: string;
  /** Names inside the directory. */
  readonly ram: string;
  readonly state: string;
  /** An empty file system: the bottom of every writable layer that is deleted together with its machine. */
  readonly blankDisk: string;
  /** An empty image over `blankDisk`, to be copied for each machine. */
  readonly layerDisk: string;
  /** A small disk like an owner's root, to be copied for a rehearsal. */
  readonly rehearsalDisk: string;
  /** Of a checkpoint: what its machine had written, between `blankDisk` and the machine's own image. */
  readonly writtenDisk?: string;
}

/** What a guest sees as the size of `TemplateFiles.rehearsalDisk`, bytes. */
export const rehearsalBytes = 256 * 2 ** 20;

export interface AcceleratorOptions {
  readonly wanted: Config["accelerator"];
  /** Directory for files that depend on this host alone, such as the result of the probe. */
  readonly cache: string;
  readonly kernel: string;
  readonly log: Logger;
}

/** The serial of the root disk inside every guest. */
export const rootSerial = "root";

/** The serial of the disk that is kept free for an owner's root: every machine has it, without a size until an image is inserted. */
export const ownerRootSerial = "owner-root";

/** A disk image with everything below it, under the names that the jailed monitor sees. */
export interface DiskSource {
  /** Top first; each is the backing file of the one before. */
  readonly chain: readonly DiskFile[];
  readonly readOnly: boolean;
  readonly serial: string;
  /** Whether a flush of the guest has to reach the host's disk. False: the host's page cache is enough. */
  readonly durable: boolean;
}

export interface DiskFile {
  readonly place: "disks" | "template";
  /** Inside `VmPlace.disksDirectory`, or inside the template's directory. */
  readonly name: string;
}

export interface VmPlace {
  readonly runDirectory: string;
  /** Bound into the jail. Every disk image has a name in here. */
  readonly disksDirectory: string;
  /** Control groups that the monitor joins first, see `Cgroup.joinFiles`. */
  readonly joinFiles: readonly string[];
  /** Run as this user and group; absent: as our own user, inside a user namespace. */
  readonly uid?: number;
}

export interface BootOptions {
  readonly shape: VmShape;
  readonly place: VmPlace;
  readonly base: string;
  readonly kernel: string;
  readonly initramfs: string;
  /** Directory of the template that is being made; it contains the memory file. */
  readonly template: TemplateFiles;
  readonly root: DiskSource;
  readonly onProcess: ProcessListener;
  readonly signal?: AbortSignal;
}

/** Records the monitor's process, so that a later process of ours finds it. The monitor is ended when this fails. */
export type ProcessListener = (process: ProcessIdentity) => Promise<void>;

export interface RestoreOptions {
  readonly shape: VmShape;
  readonly place: VmPlace;
  readonly base: string;
  readonly template: TemplateFiles;
  readonly root: DiskSource;
  /** Disks that the saved machine had been given by `Vm.attachDisk`, in that order. */
  readonly disks?: readonly DiskSource[];
  /**
   * The machine's memory is the file `TemplateFiles.ram` itself, so that `Vm.save` leaves a template of this machine: the directory belongs
   * to it alone. Memory that is plugged in is not saved.
   */
  readonly saveable?: boolean;
  /** Runs as soon as the process exists. */
  readonly onProcess: ProcessListener;
  readonly signal?: AbortSignal;
}

export interface VmExit {
  /** `stopped`: we ended it, or the guest powered itself off. `evicted`: see `MachineExit`. */
  readonly reason: MachineExit["reason"];
  /** For people; ends with the last lines of the console when those may explain it. */
  readonly detail: string;
}

export interface Vm {
  readonly process: ProcessIdentity;
  readonly controlSocket: string;
  readonly egressSocket: string;
  /** Resolves when the monitor's process has ended. Never rejects. */
  readonly exited: Promise<VmExit>;
  pause(): Promise<void>;
  /** Called whenever the machine goes on after a pause, of whatever reason. */
  onResume(listener: () => void): void;
  resume(): Promise<void>;
  /** Asks the guest to take this much memory beyond its base, MiB; a whole number of `memoryGranularity`. */
  plugMemory(mebibytes: number): Promise<void>;
  /** Puts an image of so many bytes into the disk `ownerRootSerial`. */
  insertOwnerRoot(disk: DiskSource, bytes: number): Promise<void>;
  /** Makes that disk empty again; the guest must not have it mounted. */
  removeOwnerRoot(): Promise<void>;
  attachDisk(disk: DiskSource): Promise<void>;
  /** Adds a read-only disk with the bytes of a file in `VmPlace.disksDirectory`, which never change. */
  attachImage(serial: string, fileName: string): Promise<void>;
  detachDisk(serial: string): Promise<void>;
  /** Lays overlay number `generation` (from 1) over a disk: the guest writes there from now on. */
  overlayDisk(serial: string, generation: number, overlay: DiskFile, durable: boolean): Promise<void>;
  /** Closes an overlay that no disk writes to, if it is open. */
  discardOverlay(serial: string, generation: number): Promise<void>;
  /** For each disk by serial, the number of the overlay that it writes to; 0 is the image that it was attached with. */
  diskGenerations(): Promise<ReadonlyMap<string, number>>;
  /** Saves the state of the paused machine into its template, in place of the one before. It cannot run on. */
  save(): Promise<void>;
  /** Whether the monitor paused the machine because the host's disk is full. It goes on by itself when there is space. */
  stalled(): Promise<boolean>;
  /** The last bytes that the guest wrote to its console. */
  console(): Promise<string>;
  /**
   * Ends the machine. Idempotent; resolves when its process has ended. Can be called again after it failed.
   * @param why what `exited` reports, unless the machine was ending already
   * @throws CaissonError `internal` when the process cannot be killed
   */
  stop(why?: VmExit): Promise<void>;
  /** Forgets the machine without ending it. */
  release(): void;
}

export interface Jail {
  readonly disksDirectory: string;
  /** Outside the jail. The monitor is its child, or will be. */
  readonly process: ProcessIdentity;
}

export interface VmDriver {
  readonly name: string;
  /** Memory comes and goes in steps of this many MiB. */
  readonly memoryGranularity: number;
  /** File names of the disks of a template, in the monitor's image format. */
  readonly templateDisks: Pick<TemplateFiles, "blankDisk" | "layerDisk" | "rehearsalDisk">;
  /**
   * Finds out which accelerator works on this host. The probe runs once per boot of the host.
   * @throws CaissonError `unsupported` when the configuration insists on KVM and it does not work
   */
  chooseAccelerator(options: AcceleratorOptions): Promise<Accelerator>;
  /** Makes the disks of a template. @param bytes size of the writable layer @throws CaissonError `internal` */
  createTemplateDisks(directory: string, bytes: number): Promise<void>;
  /** Everything about monitor and processor model that a saved state depends on. */
  identity(shape: VmShape): Promise<string>;
  /** Boots cold, for making a template. */
  boot(options: BootOptions): Promise<Vm>;
  /** @returns a restored machine that does not run yet */
  restore(options: RestoreOptions): Promise<Vm>;
  /** Every jail of a monitor on this host, also those that nobody recorded, and of other installations. */
  findJails(): Promise<readonly Jail[]>;
  /** Finds a machine that an earlier process started. */
  adopt(place: Pick<VmPlace, "runDirectory" | "disksDirectory">, process: ProcessIdentity): Promise<Vm>;
}

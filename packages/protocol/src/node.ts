/** What the control plane asks of a node (a host that runs microVMs). The server holds this interface and nothing below it. */
import type { Agent } from "./agent.ts";
import type { EgressPolicy, SecretBinding } from "./egress.ts";

/** A disk image of ours, such as a volume, attached to a machine. */
export interface DiskAttachment {
  /** Absolute path of the qcow2 image on the node. */
  readonly image: string;
  /**
   * The images that `image` is laid over, nearest first, read-only: all that the machine's process needs to read beside it.
   * They lie in the directory of `image`, and each image names its backing file by its bare file name.
   */
  readonly backing?: readonly string[];
  readonly readOnly: boolean;
  /** It goes with its machine, so a flush of the guest need not reach the host's disk. */
  readonly throwAway?: boolean;
  /** Unique within the machine, at most 20 characters from a-z 0-9 -. */
  readonly serial: string;
}

export interface RootDisk extends DiskAttachment {
  /** What the guest sees as the size of the disk, bytes. */
  readonly bytes: number;
  /** A machine stands on it already (`SandboxNode.stand`), and only that one can be handed out with it. */
  readonly standing?: boolean;
}

export interface VolumeMount extends DiskAttachment {
  /** Absolute path inside the sandbox. */
  readonly path: string;
}

export interface MachineSpec {
  readonly id: string;
  /** MiB. */
  readonly memory: number;
  readonly vcpus: number;
  readonly hostname: string;
  /** Environment for every process, secrets already replaced by placeholders. */
  readonly env: Readonly<Record<string, string>>;
  /** Absent: a fresh writable layer that goes with the machine. */
  readonly root?: RootDisk;
  readonly volumes: readonly VolumeMount[];
  readonly egress: { readonly policy: EgressPolicy; readonly secrets: readonly SecretBinding[] };
}

export interface MachineExit {
  readonly reason: "stopped" | "crashed";
  /** For people: what ended it. */
  readonly detail: string;
}

/** Totals since the machine was handed out. */
export interface MachineUsage {
  readonly cpuMicros: number;
  /** Resident memory of the machine's processes on the host, bytes. */
  readonly memoryBytes: number;
  /** Bytes that the writable layer takes on the host. */
  readonly diskBytes: number;
}

export interface Machine {
  readonly id: string;
  readonly agent: Agent;
  /** The authority that signs for intercepted hosts, as `EgressGuard.attach` answered. What speaks TLS from inside trusts it. */
  readonly caCertificatePem?: string;
  /** Resolves when the machine has ended and everything it held on the host has been given back. */
  readonly exited: Promise<MachineExit>;
  /** Ends the machine at once and gives everything back. Idempotent. */
  stop(): Promise<void>;
  usage(): Promise<MachineUsage>;
  /** Runs `action` while the guest's file systems on these disks are frozen. */
  whileFrozen<T>(serials: readonly string[], action: () => Promise<T>): Promise<T>;
  /** Adds a disk to the running machine and mounts it. */
  attachVolume(volume: VolumeMount): Promise<void>;
  /**
   * Lays `overlay`, an empty qcow2 image whose backing file is the disk's present image, over a disk of the running machine
   * (QMP `blockdev-snapshot`): from the answer on the guest writes to `overlay` and the former image does not change.
   * Within `whileFrozen` the former image is consistent.
   */
  overlayDisk(serial: string, overlay: string): Promise<void>;
  /** File name (without directories) of the image that each disk of `root` and `volumes` writes to now, by serial. */
  diskImages(): Promise<ReadonlyMap<string, string>>;
}

/** What a node found when it started: machines of an earlier process that still run, and leftovers it removed. */
export interface AdoptionReport {
  readonly adopted: readonly string[];
  readonly reclaimed: readonly string[];
}

export interface NodeStatus {
  readonly accelerator: "kvm" | "tcg";
  readonly machines: number;
  readonly pooled: number;
  readonly poolTarget: number;
  /** Machines that stand on a root disk and wait for an owner. */
  readonly standing: number;
}

/** A machine of the default size that stands on a root disk before anybody owns it. */
export interface StandingMachine {
  /** Resolves when it has ended and everything it held on the host has been given back; never once it was handed out. */
  readonly ended: Promise<void>;
}

export interface SandboxNode {
  /** Adopts running machines whose ids `wanted` accepts, ends the others, removes leftovers, prepares template and pool. */
  start(options: {
    wanted: (id: string) => boolean;
    /** Policy and secrets of an adopted machine, which the egress proxy needs again. */
    egressOf?: (id: string) => Promise<MachineSpec["egress"]>;
    signal?: AbortSignal;
  }): Promise<AdoptionReport>;
  /**
   * Prepares a machine on a root disk, when the pool is full and nobody waits for a machine: `create` then hands it out to whoever
   * names that disk as `standing`, as quickly as one from the pool. It goes with this process, and when memory is short.
   * @param disk asked for when it is needed; to be taken back once this has failed or the machine has ended
   * @param options.signal ends the machine, too, unless it was handed out
   * @throws CaissonError `resource_exhausted`, `cancelled`, `guest_error`
   */
  stand(disk: () => Promise<RootDisk>, options: { signal: AbortSignal }): Promise<StandingMachine>;
  /**
   * A running, configured machine. When it fails, nothing of it is left, a machine that stood on its root included.
   * @throws CaissonError `resource_exhausted` when the host has no room, `timeout`, `guest_error`, `invalid_argument`
   */
  create(spec: MachineSpec, options?: { signal?: AbortSignal }): Promise<Machine>;
  get(id: string): Machine | undefined;
  machines(): readonly Machine[];
  status(): NodeStatus;
  /** `end`: stops every machine and leaves nothing behind. `leave`: lets them run for the next process to adopt. */
  close(how: "end" | "leave"): Promise<void>;
}

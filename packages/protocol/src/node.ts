/**
 * The boundary between the control plane and a node (a host that runs microVMs). Everything that crosses it is asynchronous and plain
 * data, so that it can become a network: no closures, no paths of the host, no state read synchronously. An `AbortSignal` stands for a
 * cancelled request, an `Agent` and a `Duplex` for a stream.
 */
import type { Agent } from "./agent.ts";
import type { EgressEvent, EgressPolicy, SecretBinding } from "./egress.ts";
import type { ImageId, NodeFiles } from "./files.ts";
import type { LayerId, NodeLayers } from "./layers.ts";

/** Of one installation of the node software; stable over restarts. */
export type NodeId = string;

/** A chain of layers attached to a machine as a disk. */
export interface DiskAttachment {
  /**
   * The layers, top first: the guest writes to the first. The node refuses to attach images whose headers name a layer that is not
   * listed here.
   */
  readonly layers: readonly [LayerId, ...LayerId[]];
  readonly readOnly: boolean;
  /** It goes with its machine, so a flush of the guest need not reach the node's disk. */
  readonly throwAway?: boolean;
  /** Unique within the machine, at most 20 characters from a-z 0-9 -. */
  readonly serial: string;
}

export interface RootDisk extends DiskAttachment {
  /** What the guest sees as the size of the disk, bytes. */
  readonly bytes: number;
}

export interface VolumeMount extends DiskAttachment {
  /** Absolute path inside the sandbox. */
  readonly path: string;
}

/** An image of files (`NodeFiles.pack`) that is attached read-only. */
export interface ImageMount {
  readonly image: ImageId;
  /** Unique within the machine, as of a `DiskAttachment`. */
  readonly serial: string;
  /** Absolute path inside the machine. */
  readonly path: string;
}

export interface EgressSpec {
  readonly policy: EgressPolicy;
  readonly secrets: readonly SecretBinding[];
  /**
   * Whose authority signs for intercepted hosts: machines with the same word, which is no machine's id, trust the same one. Absent: the
   * machine has an authority of its own.
   */
  readonly authority?: string;
}

export interface MachineSpec {
  readonly id: string;
  /** Whose machines share one part of the node's memory, see `sandbox.memoryReserve`. Absent: the machine has a part of its own. */
  readonly owner?: string;
  /** MiB. */
  readonly memory: number;
  readonly vcpus: number;
  readonly hostname: string;
  /** Environment for every process, secrets already replaced by placeholders. */
  readonly env: Readonly<Record<string, string>>;
  /** Absent: a fresh writable layer that goes with the machine. */
  readonly root?: RootDisk;
  /** Name of a machine that was prepared on the same `root`; only that one can be used then. See `NodeMachines.prepare`. */
  readonly prepared?: string;
  readonly volumes: readonly VolumeMount[];
  readonly images?: readonly ImageMount[];
  readonly egress: EgressSpec;
  /**
   * `save`: the machine can be saved as the checkpoint of that name (`NodeCheckpoints.save`). `resume`: it goes on from that checkpoint,
   * with the environment of then; memory, processors and `images` must be the same. Without `root` and `volumes`. When `create`
   * throws `resource_exhausted`, the node has no room, and nothing is wrong with the checkpoint.
   */
  readonly checkpoint?: { readonly id: CheckpointId; readonly use: "save" | "resume" };
}

/** Lower-case letters, digits and hyphens, 1 to 80 characters. Chosen by the control plane. */
export type CheckpointId = string;

export interface CheckpointInfo {
  readonly id: CheckpointId;
  /** What the control plane gave `save`. */
  readonly note: string;
  /** Bytes that it takes on the node. */
  readonly bytes: number;
  /** When it was made, and last resumed from; milliseconds since the epoch. */
  readonly madeAt: number;
  readonly usedAt: number;
}

/**
 * Machines saved while their program ran: memory, devices and disk. Others go on from there. A checkpoint never changes; it is a cache,
 * and the node drops one that its monitor, kernel, agent or processor does not fit any more.
 */
export interface NodeCheckpoints {
  /**
   * Saves a machine that was created for it, and ends the machine. Its connections have to be closed. The checkpoint is on the disk for
   * good when this answers; when it fails, there is none.
   * @param note up to 64 KiB
   * @throws CaissonError `not_found`, `invalid_state`, `unsupported` when it has written too much, `resource_exhausted` when the disk is
   *   full, `timeout`, `internal`
   */
  save(machineId: string, note: string): Promise<CheckpointInfo>;
  /** One that fits. */
  find(id: CheckpointId): Promise<CheckpointInfo | undefined>;
  list(): Promise<readonly CheckpointInfo[]>;
  /** Machines that went on from it keep what they need. Idempotent. */
  remove(id: CheckpointId): Promise<void>;
}

/** A machine that runs and was configured. */
export interface MachineInfo {
  readonly id: string;
  /** The authority that signs for intercepted hosts. What speaks TLS from inside trusts it. Absent: it has no network. */
  readonly caCertificatePem?: string;
}

export interface MachineExit {
  /**
   * `stopped`: on request, or the guest powered itself off. `evicted`: the node ended it, because it disturbs other machines or the node
   * is short of memory.
   */
  readonly reason: "stopped" | "crashed" | "evicted";
  /** For people: what ended it. */
  readonly detail: string;
  /** Serials of the disks that outlive the machine and whose last writes may be missing: the guest did not confirm that it wrote them. */
  readonly unwritten?: readonly string[];
}

/** Totals since the machine was handed out. */
export interface MachineUsage {
  readonly cpuMicros: number;
  /** Resident memory of the machine's processes on the node, bytes. */
  readonly memoryBytes: number;
  /** Bytes that the writable layer takes on the node. */
  readonly diskBytes: number;
}

/** A read-only image of the platform that a machine can be given while it runs. */
export type ImageName = "vscode";

export interface NodeMachines {
  /**
   * A running, configured machine. When it fails, nothing of it is left, a prepared machine that it named included.
   * @throws CaissonError `resource_exhausted` when the node has no room, `timeout`, `guest_error`, `invalid_argument`,
   *   `unavailable` when `spec.prepared` has ended
   */
  create(spec: MachineSpec, options?: { readonly signal?: AbortSignal }): Promise<MachineInfo>;
  /**
   * Prepares a machine of the default size on a root disk, when the pool is full and nobody waits for a machine: `create` hands it out
   * to whoever names it, as quickly as one from the pool. It ends with the node's process, and when memory is short.
   * Answers when the machine is ready.
   * @param id chosen by the caller
   * @param options.signal gives up the preparation; a machine that is ready is ended by `discard`
   * @throws CaissonError `resource_exhausted`, `cancelled`, `guest_error`
   */
  prepare(id: string, root: RootDisk, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Answers when a prepared machine has ended without being handed out, and at once when there is none of that name. */
  waitPrepared(id: string, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Ends a prepared machine. Answers when nothing of it is left. Idempotent. */
  discard(id: string): Promise<void>;
  /**
   * Ends a machine at once and gives everything back. Idempotent; answers when nothing of it is left.
   * @returns as `waitExit`
   */
  stop(id: string): Promise<MachineExit>;
  /**
   * Answers when the machine has ended and everything it held on the node has been given back; at once when there is none of that name.
   * @throws the reason of the signal
   */
  waitExit(id: string, options?: { readonly signal?: AbortSignal }): Promise<MachineExit>;
  /** Machines that run and were handed out. */
  list(): Promise<readonly MachineInfo[]>;
  /** @throws CaissonError `not_found` */
  usage(id: string): Promise<MachineUsage>;
  /**
   * Lays `overlay`, an empty layer over the disk's present one, over a disk of a running machine while the guest's file system on it is
   * frozen: from the answer on the guest writes to `overlay`, and the former layer is consistent and does not change.
   * @throws CaissonError `not_found`, `guest_error`
   */
  overlayDisk(id: string, serial: string, overlay: LayerId): Promise<void>;
  /** The layer that each disk of `root` and `volumes` writes to now, by serial. @throws CaissonError `not_found`, `unavailable` */
  diskLayers(id: string): Promise<Readonly<Record<string, LayerId>>>;
  /**
   * Applies another policy, or other secrets, to a running machine. Its connections to the outside end.
   * @throws CaissonError `not_found`, `invalid_argument` when they cannot be enforced
   */
  setEgress(id: string, egress: EgressSpec): Promise<void>;
  /**
   * Mounts an image of the platform at an absolute path inside a running machine. A machine that has it keeps it: the call can be
   * repeated, also after a restart of the node. The first call on a node may build the image, which takes minutes.
   * @param options.signal gives up the wait, not the build
   * @throws CaissonError `not_found` (machine), `unsupported` when the operator allows no such image, `unavailable` when it is not
   *   built or could not be, `guest_error`
   */
  attachImage(id: string, image: ImageName, path: string, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** A client of the agent inside a machine. @throws CaissonError `unavailable` when there is no such machine */
  agent(id: string): Agent;
}

/** A machine that the control plane still wants after a restart. */
export interface WantedMachine {
  readonly id: string;
  /** See `MachineSpec.owner`. */
  readonly owner?: string;
  /** What the egress proxy needs again. Absent: it cannot be known, and the machine stays without network. */
  readonly egress?: EgressSpec;
}

/** What a node found when it started: machines of an earlier process that still run, and leftovers it removed. */
export interface AdoptionReport {
  readonly adopted: readonly MachineInfo[];
  readonly reclaimed: readonly string[];
  /**
   * Wanted machines that run on and that this version of the node cannot use, because a newer one started them: ids. `stop` and `waitExit`
   * work for them, and nothing else.
   */
  readonly left?: readonly string[];
}

/** How a machine was made ready. */
export type StartSource = "pool" | "prepared" | "restore" | "checkpoint";

export interface NodeStatus {
  readonly accelerator: "kvm" | "tcg";
  /** Key of the base image that root file systems of this node are laid over. */
  readonly baseImage: string;
  readonly machines: number;
  readonly pooled: number;
  readonly poolTarget: number;
  /** Machines that were prepared on a root disk and wait for an owner. */
  readonly prepared: number;
  /** Machines handed out since the node started, by how they were made ready. */
  readonly started: Readonly<Record<StartSource, number>>;
  /** Machines that ended since the node started, by reason. */
  readonly ended: Readonly<Record<MachineExit["reason"], number>>;
}

export interface EgressBatch {
  readonly events: readonly EgressEvent[];
  /** Events dropped since the batch before, because too many came at once. */
  readonly lost: number;
}

export interface SandboxNode {
  readonly id: NodeId;
  /** Adopts running machines that are wanted, ends the others, removes leftovers, prepares images, template and pool. */
  start(options: { readonly wanted: readonly WantedMachine[]; readonly signal?: AbortSignal }): Promise<AdoptionReport>;
  readonly machines: NodeMachines;
  readonly layers: NodeLayers;
  readonly files: NodeFiles;
  readonly checkpoints: NodeCheckpoints;
  /** What leaves sandboxes, in batches, until the signal aborts. One reader; what nobody reads is bounded and counted as lost. */
  egressEvents(options: { readonly signal: AbortSignal }): AsyncIterable<EgressBatch>;
  status(): Promise<NodeStatus>;
  /** `end`: stops every machine and leaves nothing behind. `leave`: lets them run for the next process to adopt. */
  close(how: "end" | "leave"): Promise<void>;
}

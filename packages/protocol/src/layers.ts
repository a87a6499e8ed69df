/**
 * Disk images on a node. An image is a layer: a thin qcow2 file over at most one parent. One machine writes a layer until it is
 * sealed; what a guest reads from a sealed layer never changes. The control plane knows which layers exist for whom. Every operation
 * can be repeated after a crash. Layers are named by id; only the node knows their paths.
 */

/** Lower-case letters, digits and hyphens, 1 to 64 characters. */
export type LayerId = string;

/** Names a finished copy that waits to be put in the place of its layer. */
export type LayerCopyId = string;

export interface LayerFile {
  readonly id: LayerId;
  readonly parent: LayerId | null;
  /** Size of the disk that a guest sees, bytes. */
  readonly virtualBytes: number;
  /** Bytes that the file takes on the node. */
  readonly fileBytes: number;
  readonly sealed: boolean;
}

export interface OverlayOptions {
  /** Size of the disk when more than the parent's, bytes. */
  readonly bytes?: number;
  /** Default true. False: it goes with its sandbox, so nobody waits until it is on the disk. */
  readonly durable?: boolean;
}

export interface LayerFault {
  readonly id: LayerId;
  readonly problem: string;
  /** `image`: the bytes of the image. `copy`: its copy at rest. `chain`: it cannot be read, because of itself or of a layer below it. */
  readonly where: "image" | "copy" | "chain";
}

/** The layers of one node as the control plane sees them: asynchronous, data only. */
export interface NodeLayers {
  /** A new layer without parent that holds an empty ext4 of `bytes`. @throws CaissonError `already_exists`, `resource_exhausted` */
  format(id: LayerId, bytes: number): Promise<void>;
  /** A new empty layer over a parent, as large as it or larger. Takes a few milliseconds. @throws CaissonError `already_exists`, `not_found`, `invalid_argument` */
  overlay(id: LayerId, parent: LayerId, options?: OverlayOptions): Promise<void>;
  /** Makes a layer read-only for good. Idempotent. */
  seal(id: LayerId): Promise<void>;
  /** Undefined when there is no such layer. @throws CaissonError `internal` when the file is not an image of ours */
  stat(id: LayerId): Promise<LayerFile | undefined>;
  /** All images. Those that are not images of ours are in `faults`. */
  list(): Promise<{ readonly files: readonly LayerFile[]; readonly faults: readonly LayerFault[] }>;
  /** The layer and all below it as the headers of the images say, top first. @throws CaissonError `not_found`, `internal` when a header was tampered with */
  chain(id: LayerId): Promise<readonly LayerId[]>;
  /**
   * Bytes that a guest which reads a layer finds in it and in each one below it.
   * @param chain the layer and all below it, top first, as the control plane knows it
   * @throws CaissonError `not_found`, `internal` when a header names a layer that is not in the chain
   */
  measure(chain: readonly LayerId[]): Promise<Readonly<Record<LayerId, number>>>;
  /**
   * Prepares a copy of a layer over another ancestor (null: none) with the same content. `commitCopy` or `discardCopy` ends it; a
   * copy that neither was called for is gone after a restart of the node. No machine that could write one of the layers may run.
   * @param chain the layer and all below it, top first, as the control plane knows it
   */
  copy(
    chain: readonly LayerId[],
    parent: LayerId | null,
    options?: { readonly signal?: AbortSignal },
  ): Promise<LayerCopyId>;
  /**
   * Puts the copy in the place of its layer at once and whole; machines that have the former file open keep it. The caller sees to it
   * that nobody wrote to the layer in between. @throws CaissonError `not_found`
   */
  commitCopy(copy: LayerCopyId): Promise<void>;
  /** Removes a copy that was not committed. Idempotent. */
  discardCopy(copy: LayerCopyId): Promise<void>;
  /** Stores a copy of a sealed layer at rest (here or elsewhere, as the operator chose). @returns SHA-256 of the file, hexadecimal: the name of the copy */
  archive(id: LayerId, options?: { readonly signal?: AbortSignal }): Promise<string>;
  /** Brings back a layer whose file is missing or damaged. Machines that have the former file open keep it. @throws CaissonError `not_found`, `internal` when the copy is damaged */
  recall(id: LayerId, digest: string): Promise<void>;
  /** Removes a copy at rest. Idempotent. */
  forget(digest: string): Promise<void>;
  /** All copies at rest. */
  archived(): Promise<readonly string[]>;
  /** Structure of the image. With a checksum also its bytes, and those of its copy at rest. */
  verify(id: LayerId, checksum?: string): Promise<readonly LayerFault[]>;
  /** Removes the file. Idempotent. */
  remove(id: LayerId): Promise<void>;
  /** Bytes free on the file system of the images. */
  freeBytes(): Promise<number>;
}

/** The same on the node itself, where layers have paths. Nothing but the node may hold this. */
export interface LayerStore extends NodeLayers {
  /** Creates the directories and removes what a crash left half made. Before everything else. */
  open(): Promise<void>;
  /**
   * Absolute paths of the images of a chain, top first. Layers that the headers of the images skip are left out: the chain has become
   * shorter since it was read, with the same content.
   * @param chain top first, as the control plane knows it
   * @throws CaissonError `not_found`, `internal` when a header names a layer that is not in the chain
   */
  paths(chain: readonly LayerId[]): Promise<readonly string[]>;
  /** The layer whose image has this path. */
  idOf(path: string): LayerId;
}

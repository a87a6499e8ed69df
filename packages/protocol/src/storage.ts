/**
 * What the control plane asks of the disk images on a node. An image is a layer: a qcow2 file, thin, laid over at most one
 * parent. A layer is written by one machine at a time until it is sealed; a sealed layer never changes what a guest reads from it.
 * Which layers exist for whom is the control plane's knowledge; every operation here is safe to repeat after a crash.
 */

/** Lower-case letters, digits and hyphens, 1 to 64: also the name of the file. */
export type LayerId = string;

export interface LayerFile {
  readonly id: LayerId;
  readonly parent: LayerId | null;
  /** Size of the disk that a guest sees, bytes. */
  readonly virtualBytes: number;
  /** Bytes that the file takes on the host. */
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
}

export interface LayerStore {
  /** Creates the directories and removes what a crash left half made. Before everything else. */
  open(): Promise<void>;
  /** A new layer without parent that holds an empty ext4 of `bytes`. @throws CaissonError `already_exists`, `resource_exhausted` */
  format(id: LayerId, bytes: number): Promise<void>;
  /** A new empty layer over a parent, as large as it or larger. Takes a few milliseconds. @throws CaissonError `already_exists`, `not_found`, `invalid_argument` */
  overlay(id: LayerId, parent: LayerId, options?: OverlayOptions): Promise<void>;
  /** Makes a layer read-only for good. Idempotent. */
  seal(id: LayerId): Promise<void>;
  /** Undefined when there is no such layer. @throws CaissonError `internal` when the file is not an image of ours */
  stat(id: LayerId): Promise<LayerFile | undefined>;
  list(): Promise<readonly LayerFile[]>;
  /** Paths of the layer and of all below it, checked: nearest first. @throws CaissonError `not_found`, `internal` when a header was tampered with */
  chain(id: LayerId): Promise<readonly string[]>;
  /** Bytes that a guest which reads the layer finds in it and in each one below it. Also while a machine writes to it; then an estimate. */
  measure(id: LayerId): Promise<ReadonlyMap<LayerId, number>>;
  /**
   * Prepares a copy of a layer laid over another ancestor (null: none) with the same content. `commit` puts it in the place of the
   * layer at once and whole; machines that have the former file open keep it. The caller sees to it that nobody wrote in between.
   */
  prepareCollapse(
    id: LayerId,
    parent: LayerId | null,
    signal?: AbortSignal,
  ): Promise<{ commit(): Promise<void>; discard(): Promise<void> }>;
  /** Stores a copy of a sealed layer at rest (here or elsewhere, as the operator chose). @returns SHA-256 of the file, hexadecimal: the name of the copy */
  archive(id: LayerId, signal?: AbortSignal): Promise<string>;
  /** Brings back a layer whose file is gone. @throws CaissonError `not_found`, `internal` when the copy is damaged */
  recall(id: LayerId, digest: string): Promise<void>;
  /** Removes a copy at rest. Idempotent. */
  forget(digest: string): Promise<void>;
  /** All copies at rest. */
  archived(): Promise<readonly string[]>;
  /** Structure of the image, and its bytes when a checksum is given. */
  verify(id: LayerId, checksum?: string): Promise<readonly LayerFault[]>;
  /** Removes the file. Idempotent. */
  remove(id: LayerId): Promise<void>;
  /** Bytes free on the file system of the images. */
  freeBytes(): Promise<number>;
}

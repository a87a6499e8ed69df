/**
 * Files of revisions on a node: contents by their SHA-256, each stored once, and read-only images of whole trees. An image is a cache:
 * it can be made again from the contents. The control plane knows which contents and images are still needed.
 */
import type { Readable } from "node:stream";

/** Lower-case letters and digits, 1 to 40 characters. */
export type ImageId = string;

export interface StoredContent {
  /** SHA-256, hexadecimal. */
  readonly digest: string;
  readonly bytes: number;
}

/** Paths are relative, with `/` between names; no name is empty, `.` or `..`. Every parent is an entry of its own, a directory. */
export type TreeEntry =
  | { readonly kind: "directory"; readonly path: string }
  | {
      readonly kind: "file";
      readonly path: string;
      readonly digest: string;
      readonly bytes: number;
      readonly executable: boolean;
    }
  | { readonly kind: "symlink"; readonly path: string; readonly target: string };

export interface NodeFiles {
  /**
   * Stores a content. It is on the disk for good after the next `flush`.
   * @throws CaissonError `resource_exhausted` when it has more than `maxBytes`, or the disk is full; what the stream or the signal throws
   */
  put(content: Readable, options: { readonly maxBytes: number; readonly signal?: AbortSignal }): Promise<StoredContent>;
  /** Waits until everything that was put is on the disk. */
  flush(): Promise<void>;
  /** @param range first and last byte; default: all @throws CaissonError `not_found` */
  read(digest: string, range?: { readonly first: number; readonly last: number }): Promise<Readable>;
  /**
   * Removes all contents that `needed` does not have and that are older than `age` milliseconds (infinity: none).
   * @returns how many were removed, and what is needed and not there
   */
  prune(
    needed: ReadonlySet<string>,
    age: number,
  ): Promise<{ readonly removed: number; readonly missing: ReadonlySet<string> }>;
  /**
   * Makes the image of a tree unless it exists.
   * @returns bytes that it takes on the node
   * @throws CaissonError `invalid_argument` when an entry is not as `TreeEntry` says, `not_found` when a content is missing,
   *   `resource_exhausted` when the disk is full
   */
  pack(id: ImageId, tree: readonly TreeEntry[], options?: { readonly signal?: AbortSignal }): Promise<number>;
  /** Machines that use it keep it. Idempotent. */
  removeImage(id: ImageId): Promise<void>;
  images(): Promise<readonly ImageId[]>;
}

/** The same on the node itself, where images have paths. */
export interface FileStore extends NodeFiles {
  /** Creates the directories and removes what a crash left half made. Before everything else. */
  open(): Promise<void>;
  /** Absolute path of an image. @throws CaissonError `not_found` */
  imagePath(id: ImageId): Promise<string>;
}

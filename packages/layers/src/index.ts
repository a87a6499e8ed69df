/** @module Disk images on a node: qcow2 layers on top of each other, from which volumes and snapshots are made,
 * and the files of apps. No HTTP, no SQL. */
export { DirectoryBlobs, type BlobStore } from "./blobs.ts";
export { LocalFiles } from "./files/local-files.ts";
export { LocalLayers } from "./local-layers.ts";

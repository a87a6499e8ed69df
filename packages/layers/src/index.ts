/** @module Disk images on a node: qcow2 layers on top of each other, from which volumes and snapshots are made. No HTTP, no SQL. */
export { DirectoryBlobs, type BlobStore } from "./blobs.ts";
export { LocalLayers } from "./local-layers.ts";

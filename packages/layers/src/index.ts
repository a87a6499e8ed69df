/** @module Disk images on a node: qcow2 layers, laid over each other, that volumes and snapshots are made of. No HTTP, no SQL. */
export { DirectoryBlobs, type BlobStore } from "./blobs.ts";
export { LocalLayers } from "./local-layers.ts";

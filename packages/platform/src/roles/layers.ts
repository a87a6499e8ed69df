import { join } from "node:path";
import type { FileStore, LayerStore } from "@caisson/protocol";
import { DirectoryBlobs, LocalFiles, LocalLayers } from "@caisson/layers";

/** Where an installation keeps the images of volumes and snapshots, and their copies at rest. */
export function openLayers(home: string): LayerStore {
  const directory = join(home, "volumes");
  return new LocalLayers(join(directory, "layers"), new DirectoryBlobs(join(directory, "blobs")));
}

/** Where it keeps the files of apps. */
export function openFiles(home: string): FileStore {
  return new LocalFiles(join(home, "apps"));
}

import { join } from "node:path";
import type { LayerStore } from "@caisson/protocol";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";

/** Where an installation keeps the images of volumes and snapshots, and their copies at rest. */
export function openLayers(home: string): LayerStore {
  const directory = join(home, "volumes");
  return new LocalLayers(join(directory, "layers"), new DirectoryBlobs(join(directory, "blobs")));
}

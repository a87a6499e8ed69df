/** Finds the images of the disks that a machine is to have. */
import type { DiskAttachment, FileStore, LayerStore, MachineSpec } from "@caisson/protocol";
import type { DiskImages } from "../holdings/disk-links.ts";
import type { MachineDisks } from "./hand-out.ts";

interface DiskStores {
  readonly layers: Pick<LayerStore, "paths">;
  readonly files: Pick<FileStore, "imagePath">;
}

/** @throws CaissonError `not_found` */
export async function wantedDisks(stores: DiskStores, spec: MachineSpec): Promise<MachineDisks> {
  const { layers, files } = stores;
  const { root, volumes, images: mounts = [] } = spec;
  const found = await Promise.all([
    ...volumes.map(async (volume) => ({ ...(await layerImages(layers, volume)), path: volume.path })),
    ...mounts.map(async ({ image, serial, path }) => {
      const images: [string] = [await files.imagePath(image)];
      return { images, readOnly: true, serial, path };
    }),
  ]);
  if (root === undefined) return { volumes: found };
  return { root: { ...(await layerImages(layers, root)), bytes: root.bytes }, volumes: found };
}

/** @throws CaissonError `not_found` */
export async function layerImages(
  layers: DiskStores["layers"],
  { layers: chain, readOnly, throwAway, serial }: DiskAttachment,
): Promise<DiskImages> {
  const images = (await layers.paths(chain)) as [string, ...string[]];
  return { images, readOnly, serial, ...(throwAway === undefined ? {} : { throwAway }) };
}

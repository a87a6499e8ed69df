/** Disks = store: directories of machines, images of layers, copies at rest, leases. */
import { differences, type Validator } from "./validator.ts";

export const disks: Validator = {
  name: "disks",
  check({ rows, machines, diskDirectories, layerFiles, blobs }) {
    const { layers, leases, volumes, snapshots, slugs, sandboxes } = rows;
    const running = new Set(sandboxes.filter(({ phase }) => phase === "running").map(({ id }) => id));
    const known = new Set(layers.map(({ id }) => id));
    const attached = volumes.filter(({ attached_to }) => attached_to !== null);
    const owned = [...volumes.filter(({ state }) => state !== "deleted"), ...snapshots];
    return [
      ...differences(["a directory of disks", diskDirectories], ["a record", machines.map(({ key }) => key)]),
      ...differences(["an image", layerFiles], ["a layer in the store", layers.map(({ id }) => `${id}.qcow2`)]),
      ...differences(
        ["a copy at rest", blobs],
        ["a checksum in the store", layers.flatMap(({ checksum }) => checksum ?? [])],
      ),
      ...layers.filter(({ state }) => state !== "ready").map(({ id, state }) => `layer ${id}: still ${state}`),
      ...[...volumes, ...snapshots]
        .filter(({ state }) => state === "creating")
        .map(({ slug }) => `${slug}: still being created`),
      ...volumes.filter(({ head }) => !known.has(head)).map(({ slug }) => `volume ${slug}: its layer does not exist`),
      ...snapshots
        .filter(({ layer }) => !known.has(layer))
        .map(({ slug }) => `snapshot ${slug}: its layer does not exist`),
      ...leases
        .filter(({ sandbox }) => sandbox.startsWith("sbx") && !running.has(sandbox))
        .map(({ sandbox, layer }) => `layer ${layer}: leased to ${sandbox}, which does not run`),
      ...differences(
        ["attached in the store", attached.map(({ id, attached_to }) => `${id} to ${attached_to}`)],
        ["leased", leases.flatMap(({ volume, sandbox }) => (volume === null ? [] : `${volume} to ${sandbox}`))],
      ),
      ...differences(
        ["a registered name", slugs.map(({ owner, slug }) => `${slug} of ${owner}`)],
        ["a volume or snapshot", owned.map(({ id, slug }) => `${slug} of ${id}`)],
      ),
    ];
  },
};

/** Checks that the database and the images agree. Changes nothing. Safe while sandboxes run. */
import type { VolumeContext } from "../layers/context.ts";

export interface Fault {
  /** Volume, snapshot or layer. */
  readonly subject: string;
  readonly problem: string;
}

export interface CheckReport {
  readonly layers: number;
  readonly volumes: number;
  readonly snapshots: number;
  readonly faults: readonly Fault[];
}

/** @param options.running whether a sandbox runs. Absent: attached volumes are taken as in use. */
export async function checkVolumes(
  ctx: Pick<VolumeContext, "db" | "layers" | "nodeId">,
  options: { running?: (sandboxId: string) => boolean } = {},
): Promise<CheckReport> {
  const { db, nodeId } = ctx;
  const [layers, volumes, snapshots, slugs, leases, files] = await Promise.all([
    db.selectFrom("layers").selectAll().where("node_id", "=", nodeId).execute(),
    db.selectFrom("volumes").selectAll().where("node_id", "=", nodeId).execute(),
    db.selectFrom("snapshots").selectAll().where("node_id", "=", nodeId).execute(),
    db.selectFrom("volume_slugs").selectAll().execute(),
    db.selectFrom("disk_leases").selectAll().where("node_id", "=", nodeId).execute(),
    ctx.layers.list(),
  ]);
  const faults: Fault[] = [];
  const fault = (subject: string, problem: string) => faults.push({ subject, problem });
  const rows = new Map(layers.map((layer) => [layer.id, layer]));
  const onDisk = new Map(files.map((file) => [file.id, file]));
  for (const file of files) if (!rows.has(file.id)) fault(file.id, "its image belongs to no layer in the database");
  const attached = new Set(leases.map(({ layer }) => layer));
  for (const layer of layers) {
    if (layer.state === "creating" || layer.state === "removing") continue;
    const file = onDisk.get(layer.id);
    if (file === undefined) {
      // The row of a throw-away layer is written just before its image.
      if (layer.kind !== "ephemeral") fault(layer.id, "its image is missing");
      continue;
    }
    if (file.parent !== layer.parent && layer.state !== "swapping")
      fault(
        layer.id,
        `the parent of its image is ${file.parent ?? "none"}, but in the database it is ${layer.parent ?? "none"}`,
      );
    if (layer.sealed === 1 && !file.sealed) fault(layer.id, "its image is writable although the layer is sealed");
    // A machine that writes keeps part of the image in memory, so only images that no machine uses can be checked.
    if (!attached.has(layer.id)) {
      for (const { problem } of await ctx.layers.verify(layer.id, layer.checksum ?? undefined))
        fault(layer.id, problem);
    }
  }
  const owners = new Map(slugs.map(({ owner, slug }) => [owner, slug]));
  for (const owned of [...volumes, ...snapshots]) {
    const expected = owned.state === "deleted" ? undefined : owned.slug;
    if (owners.get(owned.id) !== expected)
      fault(owned.id, `its slug ${owned.slug} is ${expected === undefined ? "still" : "not"} registered`);
    owners.delete(owned.id);
  }
  // All nodes share the slugs. Those of another node are not checked here.
  const elsewhere = await ownersElsewhere(ctx, [...owners.keys()]);
  for (const [owner, slug] of owners)
    if (!elsewhere.has(owner))
      fault(owner, `the slug ${slug} is registered for a volume or snapshot that does not exist`);
  for (const volume of volumes) {
    if (volume.state === "creating") continue;
    const head = rows.get(volume.head);
    if (head?.state === undefined || head.state === "removing")
      fault(volume.id, `its layer ${volume.head} does not exist`);
    if (head?.sealed === 1) fault(volume.id, "its layer is sealed, so it cannot be written to");
    const lease = leases.find((candidate) => candidate.volume === volume.id);
    if (lease?.sandbox !== (volume.attached_to ?? undefined))
      fault(
        volume.id,
        `it is attached to ${volume.attached_to ?? "no sandbox"}, but its lease is held by ${lease?.sandbox ?? "none"}`,
      );
    if (volume.attached_to !== null && options.running?.(volume.attached_to) === false)
      fault(volume.id, `it is attached to ${volume.attached_to}, which does not run`);
  }
  for (const snapshot of snapshots) {
    if (snapshot.state === "ready" && rows.get(snapshot.layer)?.sealed !== 1)
      fault(snapshot.id, `its layer ${snapshot.layer} is missing or not sealed`);
  }
  return { layers: layers.length, volumes: volumes.length, snapshots: snapshots.length, faults };
}

async function ownersElsewhere(
  { db, nodeId }: Pick<VolumeContext, "db" | "nodeId">,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const [volumes, snapshots] = await Promise.all([
    db.selectFrom("volumes").select("id").where("node_id", "!=", nodeId).execute(),
    db.selectFrom("snapshots").select("id").where("node_id", "!=", nodeId).execute(),
  ]);
  return new Set([...volumes, ...snapshots].map(({ id }) => id));
}

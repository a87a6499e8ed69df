/** Proves that store and disk agree. Changes nothing; safe while sandboxes run. */
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

/** @param options.running whether a sandbox still runs; without it, what is attached is taken on trust */
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
  for (const file of files) if (!rows.has(file.id)) fault(file.id, "its file belongs to nothing in the store");
  const attached = new Set(leases.map(({ layer }) => layer));
  for (const layer of layers) {
    if (layer.state === "creating" || layer.state === "removing") continue;
    const file = onDisk.get(layer.id);
    if (file === undefined) {
      // A throw-away layer has its row a moment before its file.
      if (layer.kind !== "ephemeral") fault(layer.id, "its file is missing");
      continue;
    }
    if (file.parent !== layer.parent && layer.state !== "swapping")
      fault(layer.id, `its file is laid over ${file.parent ?? "nothing"}, not over ${layer.parent ?? "nothing"}`);
    if (layer.sealed === 1 && !file.sealed) fault(layer.id, "its file could be written to although it is sealed");
    // A machine that writes keeps part of the image in memory: only a closed one can be judged.
    if (!attached.has(layer.id)) {
      for (const { problem } of await ctx.layers.verify(layer.id, layer.checksum ?? undefined))
        fault(layer.id, problem);
    }
  }
  const owners = new Map(slugs.map(({ owner, slug }) => [owner, slug]));
  for (const owned of [...volumes, ...snapshots]) {
    const expected = owned.state === "deleted" ? undefined : owned.slug;
    if (owners.get(owned.id) !== expected)
      fault(owned.id, `the name ${owned.slug} is ${expected === undefined ? "still" : "not"} registered for it`);
    owners.delete(owned.id);
  }
  // Names are shared by all nodes: what another one has is not ours to judge.
  const elsewhere = await ownersElsewhere(ctx, [...owners.keys()]);
  for (const [owner, slug] of owners)
    if (!elsewhere.has(owner)) fault(owner, `the name ${slug} is registered for something that does not exist`);
  for (const volume of volumes) {
    if (volume.state === "creating") continue;
    const head = rows.get(volume.head);
    if (head?.state === undefined || head.state === "removing")
      fault(volume.id, `the layer ${volume.head} that it writes to does not exist`);
    if (head?.sealed === 1) fault(volume.id, "it would write to a sealed layer");
    const lease = leases.find((candidate) => candidate.volume === volume.id);
    if (lease?.sandbox !== (volume.attached_to ?? undefined))
      fault(volume.id, "store disagrees with itself about which sandbox has it");
    if (volume.attached_to !== null && options.running?.(volume.attached_to) === false)
      fault(volume.id, `it is held by ${volume.attached_to}, which does not run`);
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

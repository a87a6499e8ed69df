/** Checks that the database and the images agree. Changes nothing. Safe while sandboxes run. One fault never hides another. */
import type { LayerId } from "@caisson/protocol";
import type { VolumeContext } from "../layers/context.ts";
import { findDamaged } from "../layers/damage.ts";
import type { LayerRow } from "../layers/tables.ts";

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
  /** Those of the faults that were found by reading whole images, by layer. */
  readonly content: readonly Fault[];
  /** Copies at rest that belong to no layer, by SHA-256. Not a fault: they are removed after `volumes.keepUnknownCopies`. */
  readonly unknownCopies: readonly { readonly digest: string; readonly foundAt: Date }[];
}

/** @param options.running whether a sandbox runs. Absent: attached volumes are taken as in use. */
export async function checkVolumes(
  ctx: Pick<VolumeContext, "db" | "layers" | "nodeId">,
  options: { running?: (sandboxId: string) => boolean } = {},
): Promise<CheckReport> {
  const { db, nodeId } = ctx;
  const [layers, volumes, snapshots, slugs, leases, unknown, damaged, images] = await Promise.all([
    db.selectFrom("layers").selectAll().where("node_id", "=", nodeId).execute(),
    db.selectFrom("volumes").selectAll().where("node_id", "=", nodeId).execute(),
    db.selectFrom("snapshots").selectAll().where("node_id", "=", nodeId).execute(),
    db.selectFrom("volume_slugs").selectAll().execute(),
    db.selectFrom("disk_leases").selectAll().where("node_id", "=", nodeId).execute(),
    db.selectFrom("unknown_copies").selectAll().where("node_id", "=", nodeId).execute(),
    findDamaged(ctx),
    ctx.layers.list(),
  ]);
  const faults: Fault[] = [];
  const content: Fault[] = [];
  const fault = (subject: string, problem: string) => faults.push({ subject, problem });
  const rows = new Map(layers.map((layer) => [layer.id, layer]));
  const onDisk = new Map(images.files.map((file) => [file.id, file]));
  const unreadable = new Set(images.faults.map(({ id }) => id));
  for (const id of [...onDisk.keys(), ...unreadable])
    if (!rows.has(id)) fault(id, "its image belongs to no layer in the database");
  for (const { subject, kind, reason, found_at } of damaged.marks)
    fault(subject, `this ${kind} is marked as damaged since ${new Date(found_at).toISOString()}: ${reason}`);
  const attached = new Set(leases.map(({ layer }) => layer));
  for (const layer of layers) {
    if (layer.state === "creating" || layer.state === "removing") continue;
    const file = onDisk.get(layer.id);
    if (unreadable.has(layer.id)) {
      for (const { id, problem } of images.faults) if (id === layer.id) fault(id, problem);
      continue;
    }
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
    // A machine that writes keeps part of the image in memory, so only images that no machine can write are checked.
    if (!attached.has(layer.id) && layer.held_by === null) {
      for (const { problem, where } of await ctx.layers.verify(layer.id, layer.checksum ?? undefined)) {
        fault(layer.id, problem);
        if (where === "image") content.push({ subject: layer.id, problem });
      }
    }
  }
  // Who is affected by the lowest layer with a fault, beside the layers themselves.
  const bad = new Set(faults.map(({ subject }) => subject));
  for (const volume of volumes) {
    const culprit = chainOf(rows, volume.head).findLast((id) => bad.has(id));
    if (culprit !== undefined && volume.state !== "creating")
      fault(
        volume.id,
        `it needs layer ${culprit}, which has a fault (volume ${volume.slug} of organisation ${volume.org_id})`,
      );
  }
  for (const snapshot of snapshots) {
    const culprit = chainOf(rows, snapshot.layer).findLast((id) => bad.has(id));
    if (culprit !== undefined)
      fault(
        snapshot.id,
        `it needs layer ${culprit}, which has a fault (snapshot ${snapshot.slug} of organisation ${snapshot.org_id})`,
      );
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
  const unknownCopies = unknown.map(({ digest, found_at }) => ({ digest, foundAt: new Date(found_at) }));
  return {
    layers: layers.length,
    volumes: volumes.length,
    snapshots: snapshots.length,
    faults,
    content,
    unknownCopies,
  };
}

/** Ids of a layer and all below it, as far as the rows go. */
function chainOf(rows: ReadonlyMap<LayerId, LayerRow>, head: LayerId): readonly LayerId[] {
  const ids: LayerId[] = [];
  for (let next: LayerId | null = head; next !== null && !ids.includes(next); next = rows.get(next)?.parent ?? null)
    ids.push(next);
  return ids;
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

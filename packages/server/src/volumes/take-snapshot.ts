/**
 * Takes a snapshot: the layer that the volume writes to becomes the snapshot, and the volume gets a new layer over it. No data is
 * copied. The guest freezes the file system of a mounted volume while its machine changes to the new layer.
 */
import { CaissonError, newId, type LayerId } from "@caisson/protocol";
import {
  lockOrg,
  newLayerId,
  plannedLayer,
  requireDiskSpace,
  requireHere,
  waitForEnd,
  type VolumeContext,
} from "../layers/context.ts";
import { requireSound } from "../layers/inspect.ts";
import { measureSizes, refreshVolume } from "../layers/sizes.ts";
import { recordBytes } from "../layers/stored-bytes.ts";
import type { SnapshotRow, VolumeRow } from "../layers/tables.ts";
import { requireVolume } from "./lookup.ts";
import { checkQuota } from "./quota.ts";
import { checkSlug, takeSlug } from "./slug.ts";

/** How long a snapshot waits for its sizes, milliseconds. */
const measureDeadline = 250;

/**
 * @throws CaissonError `not_found`, `invalid_argument`, `already_exists` (SLUG_ALREADY_IN_USE), `resource_exhausted`,
 *   `invalid_state` while the volume is being attached, detached, or an unclear snapshot of it waits to be settled
 */
export async function takeSnapshot(
  ctx: VolumeContext,
  orgId: string,
  idOrSlug: string,
  slug: string,
): Promise<SnapshotRow> {
  checkSlug(slug);
  await requireDiskSpace(ctx);
  const found = await requireVolume(ctx.db, orgId, idOrSlug);
  requireHere(ctx, found);
  const { id } = found;
  await waitForEnd(ctx, [found]);
  return ctx.locks.run(`volume:${id}`, async () => {
    const volume = await requireVolume(ctx.db, orgId, id);
    await requireSound(ctx, "volume", volume, volume.head);
    const disk = await diskOf(ctx, volume);
    // A guest goes on writing until its file system is frozen, and then writes what it holds in memory.
    const bytes = disk === undefined ? ((await ctx.layers.stat(volume.head))?.fileBytes ?? 0) : volume.capacity;
    const { snapshot, next } = await plan(ctx, volume, slug, bytes);
    try {
      await ctx.layers.overlay(next, volume.head);
      if (disk !== undefined) await ctx.machines.overlayDisk(disk.machine, disk.serial, next);
    } catch (error) {
      await settleSnapshot(ctx, snapshot).catch((cause: unknown) =>
        ctx.log.error(
          { err: cause, snapshot: snapshot.id },
          "an unfinished snapshot could not be settled; it will be tried again",
        ),
      );
      const settled = await ctx.db.selectFrom("snapshots").selectAll().where("id", "=", snapshot.id).executeTakeFirst();
      // The snapshot was taken. Only the answer was lost.
      if (settled?.state === "ready") return settled;
      throw error;
    }
    await finish(ctx, snapshot, next);
    const done = await measured(ctx, snapshot, volume);
    return { ...done, state: "ready", next_head: null };
  });
}

interface Disk {
  readonly machine: string;
  readonly serial: string;
}

/** Undefined when no machine has the volume. */
async function diskOf(ctx: VolumeContext, volume: VolumeRow): Promise<Disk | undefined> {
  const unsettled = await ctx.db
    .selectFrom("snapshots")
    .select("id")
    .where("volume", "=", volume.id)
    .where("state", "=", "creating")
    .executeTakeFirst();
  if (unsettled !== undefined) {
    throw new CaissonError(
      "invalid_state",
      `Another snapshot of \`${volume.slug}\` is not finished yet. Try again in a moment.`,
      { wireCode: "VOLUME_BUSY" },
    );
  }
  if (volume.attached_to === null) return undefined;
  const lease = await ctx.db
    .selectFrom("disk_leases")
    .select("serial")
    .where("volume", "=", volume.id)
    .executeTakeFirst();
  if (lease === undefined || !ctx.running(volume.attached_to)) {
    throw new CaissonError(
      "invalid_state",
      `The volume \`${volume.slug}\` is being attached or detached. Try again in a moment.`,
      { wireCode: "VOLUME_BUSY" },
    );
  }
  return { machine: volume.attached_to, serial: lease.serial };
}

async function plan(
  ctx: VolumeContext,
  volume: VolumeRow,
  slug: string,
  bytes: number,
): Promise<{ snapshot: SnapshotRow; next: LayerId }> {
  const next = newLayerId();
  const snapshot: SnapshotRow = {
    id: newId("snp", volume.region),
    node_id: ctx.nodeId,
    org_id: volume.org_id,
    slug,
    region: volume.region,
    capacity: volume.capacity,
    bootable: volume.bootable,
    base_image: volume.base_image,
    volume: volume.id,
    volume_slug: volume.slug,
    state: "creating",
    layer: volume.head,
    next_head: next,
    allocated_bytes: volume.allocated_bytes,
    flattened_bytes: volume.flattened_bytes,
    created_at: Date.now(),
  };
  await ctx.db.transaction().execute(async (trx) => {
    await lockOrg(ctx, trx, volume.org_id);
    await checkQuota(ctx, trx, volume.org_id, { what: "snapshot", bytes });
    await takeSlug(trx, volume.org_id, slug, snapshot.id);
    await trx
      .insertInto("layers")
      .values(
        plannedLayer(ctx, {
          id: next,
          parent: volume.head,
          kind: volume.bootable === 1 ? "root" : "plain",
          org_id: volume.org_id,
        }),
      )
      .execute();
    await trx.insertInto("snapshots").values(snapshot).execute();
  });
  return { snapshot, next };
}

/** Makes the snapshot visible to clients. Idempotent. */
async function finish(ctx: VolumeContext, snapshot: SnapshotRow, next: LayerId): Promise<void> {
  await ctx.layers.seal(snapshot.layer);
  await ctx.db.transaction().execute(async (trx) => {
    const lease = await trx
      .selectFrom("disk_leases")
      .select("sandbox")
      .where("volume", "=", snapshot.volume)
      .executeTakeFirst();
    await trx
      .updateTable("layers")
      .set({ sealed: 1, held_by: lease?.sandbox ?? null })
      .where("id", "=", snapshot.layer)
      .execute();
    await recordBytes(ctx, trx, snapshot.layer);
    await trx.updateTable("layers").set({ state: "ready" }).where("id", "=", next).execute();
    await trx.updateTable("volumes").set({ head: next }).where("id", "=", snapshot.volume).execute();
    await trx.updateTable("disk_leases").set({ layer: next }).where("volume", "=", snapshot.volume).execute();
    await trx.updateTable("snapshots").set({ state: "ready", next_head: null }).where("id", "=", snapshot.id).execute();
  });
}

/**
 * Finishes or undoes a snapshot that was interrupted, depending on the layer that the machine writes to. Once it may have written to
 * the new layer, only finishing keeps its data. While it writes to the old one, only undoing does.
 */
export async function settleSnapshot(ctx: VolumeContext, snapshot: SnapshotRow): Promise<void> {
  const next = snapshot.next_head;
  if (snapshot.state !== "creating" || next === null) return;
  const overlay = await ctx.layers.stat(next);
  const volume = await ctx.db
    .selectFrom("volumes")
    .select("attached_to")
    .where("id", "=", snapshot.volume)
    .executeTakeFirst();
  const machine = volume?.attached_to != null && ctx.running(volume.attached_to) ? volume.attached_to : undefined;
  if (overlay !== undefined && machine === undefined) return finish(ctx, snapshot, next);
  if (overlay !== undefined && machine !== undefined) {
    const lease = await ctx.db
      .selectFrom("disk_leases")
      .select("serial")
      .where("volume", "=", snapshot.volume)
      .executeTakeFirst();
    const written = lease === undefined ? undefined : (await ctx.machines.diskLayers(machine))[lease.serial];
    if (written === next) return finish(ctx, snapshot, next);
    if (written !== snapshot.layer)
      throw new CaissonError(
        "unavailable",
        `The machine that uses volume ${snapshot.volume} did not report which layer it writes to. Try again in a moment.`,
      );
  }
  await ctx.layers.remove(next);
  await ctx.db.transaction().execute(async (trx) => {
    await trx.deleteFrom("volume_slugs").where("owner", "=", snapshot.id).execute();
    await trx.deleteFrom("snapshots").where("id", "=", snapshot.id).execute();
    await trx.deleteFrom("layers").where("id", "=", next).execute();
  });
}

/** Settles the interrupted snapshots of a volume. */
export async function settleVolume(ctx: VolumeContext, volumeId: string): Promise<void> {
  const unsettled = await ctx.db
    .selectFrom("snapshots")
    .selectAll()
    .where("volume", "=", volumeId)
    .where("state", "=", "creating")
    .execute();
  for (const snapshot of unsettled) await settleSnapshot(ctx, snapshot);
}

async function measured(ctx: VolumeContext, snapshot: SnapshotRow, volume: VolumeRow): Promise<SnapshotRow> {
  const work = (async () => {
    const base =
      volume.base_snapshot === null
        ? undefined
        : await ctx.db
            .selectFrom("snapshots")
            .select("layer")
            .where("id", "=", volume.base_snapshot)
            .executeTakeFirst();
    const sizes = await measureSizes(ctx, snapshot.layer, base?.layer ?? null);
    const columns = { allocated_bytes: sizes.allocated, flattened_bytes: sizes.flattened };
    await ctx.db.updateTable("snapshots").set(columns).where("id", "=", snapshot.id).execute();
    void refreshVolume(ctx, volume.id);
    return { ...snapshot, ...columns };
  })().catch((error: unknown) => {
    ctx.log.warn({ err: error, snapshot: snapshot.id }, "the size of a snapshot could not be measured");
    return snapshot;
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<SnapshotRow>((resolve) => (timer = setTimeout(() => resolve(snapshot), measureDeadline)));
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** Creates a volume: empty, bootable from the built-in image, or from a snapshot. */
import { CaissonError, newId, type LayerId } from "@caisson/protocol";
import {
  builtinImage,
  lockOrg,
  newLayerId,
  plannedLayer,
  requireDiskSpace,
  requireHere,
  type VolumeContext,
} from "../layers/context.ts";
import { findDamaged } from "../layers/damage.ts";
import { requireSound } from "../layers/inspect.ts";
import { measureSizes } from "../layers/sizes.ts";
import type { SnapshotRow, VolumeRow } from "../layers/tables.ts";
import { requireSnapshot } from "./lookup.ts";
import { checkQuota } from "./quota.ts";
import { checkSlug, takeSlug } from "./slug.ts";

export interface VolumeRequest {
  readonly slug: string;
  readonly region: string;
  /** Bytes, checked. */
  readonly capacity: number;
  /** `builtin:debian-13`, or id or slug of a snapshot. */
  readonly from?: string | undefined;
}

/**
 * @throws CaissonError `invalid_argument`, `not_found` for the snapshot, `already_exists` (SLUG_ALREADY_IN_USE),
 *   `resource_exhausted` (VOLUME_LIMIT_REACHED, DISK_FULL)
 */
export async function createVolume(ctx: VolumeContext, orgId: string, request: VolumeRequest): Promise<VolumeRow> {
  checkSlug(request.slug);
  const { region } = ctx.config.sandbox;
  if (request.region !== region)
    throw new CaissonError(
      "invalid_argument",
      `No such region: \`${request.region.slice(0, 32)}\`. The region of this server is \`${region}\`.`,
    );
  if (request.from?.startsWith("builtin:") === true && request.from !== builtinImage) {
    throw new CaissonError(
      "invalid_argument",
      `No such built-in image: \`${request.from.slice(0, 64)}\`. Use \`${builtinImage}\`.`,
    );
  }
  await requireDiskSpace(ctx);
  const snapshot =
    request.from === undefined || request.from === builtinImage
      ? undefined
      : await requireSnapshot(ctx.db, orgId, request.from);
  if (snapshot !== undefined) {
    requireHere(ctx, snapshot);
    await requireSound(ctx, "snapshot", snapshot, snapshot.layer);
  }
  if (snapshot !== undefined && request.capacity < snapshot.capacity) {
    throw new CaissonError(
      "invalid_argument",
      `A volume from the snapshot \`${snapshot.slug}\` needs a capacity of at least ${snapshot.capacity} bytes, not ${request.capacity}.`,
    );
  }
  const parent = snapshot?.layer ?? (request.from === builtinImage ? await builtinLayer(ctx, request.capacity) : null);
  const volume = await plan(ctx, orgId, request, snapshot, parent);
  try {
    await (parent === null
      ? ctx.layers.format(volume.head, request.capacity)
      : ctx.layers.overlay(volume.head, parent, { bytes: request.capacity }));
    const formatted =
      parent === null
        ? Object.values(await ctx.layers.measure([volume.head])).reduce((sum, bytes) => sum + bytes, 0)
        : 0;
    await ctx.db
      .updateTable("layers")
      .set({ state: "ready", formatted_bytes: formatted })
      .where("id", "=", volume.head)
      .execute();
    const sizes = await measureSizes(ctx, volume.head, snapshot?.layer ?? null);
    const ready = {
      state: "ready",
      allocated_bytes: sizes.allocated,
      flattened_bytes: sizes.flattened,
      measured_at: Date.now(),
    } as const;
    await ctx.db.updateTable("volumes").set(ready).where("id", "=", volume.id).execute();
    return { ...volume, ...ready };
  } catch (error) {
    await undoCreate(ctx, volume).catch((cause: unknown) =>
      ctx.log.error(
        { err: cause, volume: volume.id },
        "an unfinished volume could not be removed; it will be tried again",
      ),
    );
    throw error;
  }
}

async function plan(
  ctx: VolumeContext,
  orgId: string,
  request: VolumeRequest,
  snapshot: SnapshotRow | undefined,
  parent: LayerId | null,
): Promise<VolumeRow> {
  const bootable = request.from === builtinImage || snapshot?.bootable === 1;
  const row: VolumeRow = {
    id: newId("vol", request.region),
    node_id: ctx.nodeId,
    org_id: orgId,
    slug: request.slug,
    region: request.region,
    capacity: request.capacity,
    bootable: bootable ? 1 : 0,
    base_image: snapshot?.base_image ?? (bootable ? ctx.baseImage() : null),
    base_snapshot: snapshot?.id ?? null,
    state: "creating",
    head: newLayerId(),
    attached_to: null,
    allocated_bytes: 0,
    flattened_bytes: 0,
    measured_at: 0,
    created_at: Date.now(),
    deleted_at: null,
    reclaim_at: null,
  };
  await ctx.db.transaction().execute(async (trx) => {
    await lockOrg(ctx, trx, orgId);
    await checkQuota(ctx, trx, orgId, { what: "volume", bytes: request.capacity });
    await takeSlug(trx, orgId, request.slug, row.id);
    // Checked here, because from now on this row keeps the parent from being removed.
    if (parent !== null) {
      const found = await trx
        .selectFrom("layers")
        .select("kind")
        .where("id", "=", parent)
        .where("state", "in", ["ready", "swapping"])
        .executeTakeFirst();
      const kept =
        snapshot === undefined ||
        (await trx.selectFrom("snapshots").select("id").where("id", "=", snapshot.id).executeTakeFirst());
      if (found === undefined || kept === undefined)
        throw new CaissonError("not_found", `The snapshot \`${request.from}\` was just deleted.`);
    }
    await trx
      .insertInto("layers")
      .values(plannedLayer(ctx, { id: row.head, parent, kind: bootable ? "root" : "plain", org_id: orgId }))
      .execute();
    await trx.insertInto("volumes").values(row).execute();
  });
  return row;
}

/** The empty root file system of one size: the parent of all bootable volumes of that size. Created when it is first needed. */
async function builtinLayer(ctx: VolumeContext, capacity: number): Promise<LayerId> {
  const id = await builtinId(ctx, capacity);
  await ctx.locks.run(id, async () => {
    const found = await ctx.db.selectFrom("layers").select("state").where("id", "=", id).executeTakeFirst();
    // Volumes may need the image even when it is damaged, so it is never made anew here.
    if (found?.state === "ready") return;
    if (found === undefined)
      await ctx.db
        .insertInto("layers")
        .values(plannedLayer(ctx, { id, parent: null, kind: "builtin", org_id: null }))
        .execute();
    await ctx.layers.remove(id);
    await ctx.layers.format(id, capacity);
    await ctx.layers.seal(id);
    await ctx.db.updateTable("layers").set({ state: "ready", sealed: 1 }).where("id", "=", id).execute();
  });
  return id;
}

/**
 * The id contains the node, because all nodes share one table. Layers from before there were nodes keep their ids. A damaged one is left to
 * the volumes that need it, and another one is made for new volumes.
 */
async function builtinId(ctx: VolumeContext, capacity: number): Promise<LayerId> {
  const { db, nodeId } = ctx;
  const first = `builtin-${nodeId}-${capacity}`;
  const found = await db
    .selectFrom("layers")
    .select("id")
    .where("kind", "=", "builtin")
    .where("node_id", "=", nodeId)
    .where((eb) => eb.or([eb("id", "in", [`builtin-${capacity}`, first]), eb("id", "like", `${first}-r%`)]))
    .orderBy("created_at")
    .execute();
  const damaged = (await findDamaged(ctx)).layers;
  const sound = found.find(({ id }) => !damaged.has(id));
  return sound?.id ?? (found.length === 0 ? first : `${first}-r${found.length}`);
}

/** Removes a volume whose creation was not reported to the client. Idempotent. */
export async function undoCreate(ctx: VolumeContext, volume: Pick<VolumeRow, "id" | "head">): Promise<void> {
  await ctx.layers.remove(volume.head);
  await ctx.db.transaction().execute(async (trx) => {
    await trx.deleteFrom("volume_slugs").where("owner", "=", volume.id).execute();
    await trx.deleteFrom("volumes").where("id", "=", volume.id).execute();
    await trx.deleteFrom("layers").where("id", "=", volume.head).execute();
  });
}

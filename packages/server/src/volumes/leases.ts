/** Gives disks to sandboxes and takes them back. One sandbox at a time can use a volume; any number can use a snapshot. */
import { CaissonError, type DiskAttachment, type LayerId, type RootDisk, type VolumeMount } from "@caisson/protocol";
import {
  builtinImage,
  diskLayers,
  newLayerId,
  plannedLayer,
  requireDiskSpace,
  requireHere,
  waitForEnd,
  type VolumeContext,
} from "../layers/context.ts";
import { markDamaged, verdictOn } from "../layers/damage.ts";
import { requireSound } from "../layers/inspect.ts";
import type { SnapshotRow, VolumeRow, VolumeTransaction } from "../layers/tables.ts";
import type { DiskRequest } from "../workloads/index.ts";
import { attached } from "./delete.ts";
import { findSnapshot, findVolume, requireVolume } from "./lookup.ts";
import { checkMountPaths } from "./mount-paths.ts";
import { settleVolume } from "./take-snapshot.ts";

export interface Disks {
  readonly root?: RootDisk;
  /** Id of the machine that was prepared on `root`. */
  readonly prepared?: string;
  readonly volumes: readonly VolumeMount[];
}

/** A machine that was prepared on a layer over a snapshot, about to be handed out. */
export interface Claimed {
  /** Its id. The lease of that layer is in this name. */
  readonly holder: string;
  /** Ends the machine and takes the layer back. */
  giveUp(): Promise<void>;
}

const rootSerial = "root";

/**
 * Takes every disk or none. The sandbox keeps them until `releaseDisks`.
 * @param claim takes a machine that was prepared on a snapshot
 * @throws CaissonError `not_found`, `invalid_argument`, `resource_exhausted`, `invalid_state` (VOLUME_ATTACHED, BASE_IMAGE_CHANGED,
 *   VOLUME_DAMAGED, SNAPSHOT_DAMAGED)
 */
export async function acquireDisks(
  ctx: VolumeContext,
  orgId: string,
  sandboxId: string,
  request: DiskRequest,
  claim: (snapshot: SnapshotRow) => Claimed | undefined = () => undefined,
): Promise<Disks> {
  if (request.root === undefined && request.volumes.length === 0) return { volumes: [] };
  const paths = checkMountPaths(request.volumes.map(({ path }) => path));
  const volumes: VolumeRow[] = [];
  for (const { volume } of request.volumes) volumes.push(await requireVolume(ctx.db, orgId, volume));
  const root = request.root === undefined ? undefined : await findRoot(ctx, orgId, request.root);
  const taken = root?.volume === undefined ? volumes : [...volumes, root.volume];
  const repeated = taken.find((volume, index) => taken.findIndex(({ id }) => id === volume.id) < index);
  if (repeated !== undefined)
    throw new CaissonError(
      "invalid_argument",
      `The volume \`${repeated.slug}\` is named twice. A sandbox can use a volume once: as root, or at one path.`,
    );
  for (const volume of volumes) {
    requireHere(ctx, volume);
    await requireSound(ctx, "volume", volume, volume.head);
  }
  if (root?.volume !== undefined) await requireSound(ctx, "volume", root.volume, root.volume.head);
  if (root?.snapshot !== undefined) await requireSound(ctx, "snapshot", root.snapshot, root.snapshot.layer);
  if (root?.snapshot !== undefined) {
    await requireDiskSpace(ctx);
    // The name may mean another snapshot than a moment ago.
    if (root.snapshot.capacity > (request.writableBytes ?? Infinity))
      throw new CaissonError("invalid_state", `The snapshot \`${root.snapshot.slug}\` was just replaced. Try again.`);
  }
  await waitForEnd(ctx, taken);
  return ctx.locks.runAll(
    taken.map(({ id }) => `volume:${id}`),
    async () => {
      const own: { throwAway?: LayerId; claimed?: Claimed | undefined } = {};
      try {
        await ctx.db.transaction().execute(async (trx) => {
          for (const [index, volume] of taken.entries()) {
            await take(ctx, trx, volume, sandboxId, index < volumes.length ? serialOf(volume.id) : rootSerial);
          }
          if (root?.snapshot === undefined) return;
          await requireStill(trx, root.snapshot);
          own.claimed = claim(root.snapshot);
          if (own.claimed === undefined) own.throwAway = await planThrowAway(ctx, trx, sandboxId, root.snapshot);
          else await handOver(trx, own.claimed.holder, sandboxId);
        });
        if (own.throwAway !== undefined)
          await ctx.layers.overlay(own.throwAway, root!.snapshot!.layer, { durable: false });
        const disks = await attachments(
          ctx,
          sandboxId,
          volumes.map((volume, index) => ({ id: volume.id, path: paths[index]! })),
        );
        return own.claimed === undefined ? disks : { ...disks, prepared: own.claimed.holder };
      } catch (error) {
        await own.claimed?.giveUp();
        await release(ctx, sandboxId);
        throw error;
      }
    },
  );
}

/**
 * A throw-away layer over a snapshot, for a machine that is prepared before a sandbox asks for it. `releaseDisks` takes it back.
 * @param holder used in the place of a sandbox's id
 * @throws CaissonError `not_found`, `resource_exhausted`
 */
export async function lendRoot(ctx: VolumeContext, holder: string, snapshot: SnapshotRow): Promise<RootDisk> {
  await requireDiskSpace(ctx);
  const layer = await ctx.db.transaction().execute(async (trx) => {
    await requireStill(trx, snapshot);
    return planThrowAway(ctx, trx, holder, snapshot);
  });
  await ctx.layers.overlay(layer, snapshot.layer, { durable: false });
  const { root } = await attachments(ctx, holder, []);
  return root!;
}

async function findRoot(
  ctx: VolumeContext,
  orgId: string,
  idOrSlug: string,
): Promise<{ volume?: VolumeRow; snapshot?: SnapshotRow }> {
  const volume = await findVolume(ctx.db, orgId, idOrSlug);
  const snapshot = volume === undefined ? await findSnapshot(ctx.db, orgId, idOrSlug) : undefined;
  const found = volume ?? snapshot;
  if (found === undefined)
    throw new CaissonError("not_found", `No such volume or snapshot: \`${idOrSlug.slice(0, 64)}\`.`, {
      wireCode: "VOLUME_NOT_FOUND",
    });
  requireHere(ctx, found);
  if (found.bootable !== 1) {
    throw new CaissonError(
      "invalid_argument",
      `\`${found.slug}\` is not bootable, so it cannot be the root of a sandbox. Create a bootable volume from "${builtinImage}", or from a snapshot of a bootable volume.`,
      { wireCode: "NOT_BOOTABLE" },
    );
  }
  if (found.base_image !== ctx.baseImage()) {
    throw new CaissonError(
      "invalid_state",
      `\`${found.slug}\` was created on base image ${found.base_image}, but this node now runs base image ${ctx.baseImage()}. Create a new volume from "${builtinImage}".`,
      { wireCode: "BASE_IMAGE_CHANGED" },
    );
  }
  return volume === undefined ? { snapshot: snapshot! } : { volume };
}

async function take(
  ctx: VolumeContext,
  trx: VolumeTransaction,
  volume: VolumeRow,
  sandboxId: string,
  serial: string,
): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable("volumes")
    .set({ attached_to: sandboxId })
    .where("id", "=", volume.id)
    .where("state", "=", "ready")
    .where("attached_to", "is", null)
    .executeTakeFirstOrThrow();
  if (numUpdatedRows !== 1n) {
    const now = await trx
      .selectFrom("volumes")
      .select(["slug", "attached_to"])
      .where("id", "=", volume.id)
      .where("state", "=", "ready")
      .executeTakeFirst();
    if (now === undefined) throw new CaissonError("not_found", `The volume \`${volume.slug}\` was just deleted.`);
    throw attached(now);
  }
  // Read here and not before, because a snapshot may have changed it since.
  const { head } = await trx.selectFrom("volumes").select("head").where("id", "=", volume.id).executeTakeFirstOrThrow();
  await trx
    .updateTable("layers")
    .set((eb) => ({ generation: eb("generation", "+", 1) }))
    .where("id", "=", head)
    .execute();
  await trx
    .insertInto("disk_leases")
    .values({ node_id: ctx.nodeId, sandbox: sandboxId, serial, layer: head, volume: volume.id, created_at: Date.now() })
    .execute();
}

async function requireStill(trx: VolumeTransaction, { id, slug }: SnapshotRow): Promise<void> {
  const still = await trx.selectFrom("snapshots").select("id").where("id", "=", id).executeTakeFirst();
  if (still === undefined) throw new CaissonError("not_found", `The snapshot \`${slug}\` was just deleted.`);
}

async function planThrowAway(
  ctx: VolumeContext,
  trx: VolumeTransaction,
  holder: string,
  snapshot: SnapshotRow,
): Promise<LayerId> {
  const id = newLayerId();
  await trx
    .insertInto("layers")
    // `ready` before its file exists: only its sandbox uses it, and recovery after a crash removes both.
    .values({
      ...plannedLayer(ctx, { id, parent: snapshot.layer, kind: "ephemeral", org_id: snapshot.org_id }),
      state: "ready",
    })
    .execute();
  await trx
    .insertInto("disk_leases")
    .values({
      node_id: ctx.nodeId,
      sandbox: holder,
      serial: rootSerial,
      layer: id,
      volume: null,
      created_at: Date.now(),
    })
    .execute();
  return id;
}

async function handOver(trx: VolumeTransaction, from: string, to: string): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable("disk_leases")
    .set({ sandbox: to })
    .where("sandbox", "=", from)
    .executeTakeFirstOrThrow();
  if (numUpdatedRows !== 1n) throw new CaissonError("internal", "The root disk of a prepared machine has no lease.");
}

async function attachments(
  ctx: VolumeContext,
  sandboxId: string,
  mounts: readonly { id: string; path: string }[],
): Promise<Disks> {
  const leases = await ctx.db.selectFrom("disk_leases").selectAll().where("sandbox", "=", sandboxId).execute();
  let root: RootDisk | undefined;
  const volumes: VolumeMount[] = [];
  for (const lease of leases) {
    const disk: DiskAttachment = {
      layers: await diskLayers(ctx, lease.layer),
      readOnly: false,
      serial: lease.serial,
      // Only the layer over a snapshot belongs to no volume.
      throwAway: lease.volume === null,
    };
    const path = mounts.find(({ id }) => id === lease.volume)?.path;
    if (lease.serial === rootSerial) root = { ...disk, bytes: await rootBytes(ctx, lease.layer) };
    else if (path !== undefined) volumes.push({ ...disk, path });
  }
  // Outer mounts first: `/data` before `/data/cache`.
  volumes.sort((a, b) => a.path.length - b.path.length);
  return root === undefined ? { volumes } : { root, volumes };
}

async function rootBytes(ctx: VolumeContext, layer: LayerId): Promise<number> {
  const file = await ctx.layers.stat(layer);
  if (file === undefined) throw new CaissonError("internal", `The image of layer ${layer} is missing.`);
  return file.virtualBytes;
}

/**
 * Takes back the disks of a sandbox whose machine has ended. Idempotent.
 * @returns ids of the volumes among them
 */
export async function releaseDisks(ctx: VolumeContext, sandboxId: string): Promise<readonly string[]> {
  const held = await ctx.db.selectFrom("disk_leases").select("volume").where("sandbox", "=", sandboxId).execute();
  if (held.length === 0) return [];
  const ids = held.flatMap(({ volume }) => (volume === null ? [] : [volume]));
  await ctx.locks.runAll(
    ids.map((id) => `volume:${id}`),
    () => release(ctx, sandboxId),
  );
  return ids;
}

async function release(ctx: VolumeContext, sandboxId: string): Promise<void> {
  const leases = await ctx.db.selectFrom("disk_leases").selectAll().where("sandbox", "=", sandboxId).execute();
  for (const { volume } of leases) {
    if (volume === null) continue;
    // A damaged volume is released as well: it is refused from now on, and its sandbox must end.
    await settleVolume(ctx, volume).catch(async (error: unknown) => {
      if (verdictOn(error) !== "damaged") throw error;
      await markDamaged(ctx, { subject: volume, kind: "volume", reason: (error as Error).message, depth: "structure" });
    });
  }
  const throwAway = leases.filter(({ volume }) => volume === null).map(({ layer }) => layer);
  for (const layer of throwAway) await ctx.layers.remove(layer);
  await ctx.db.transaction().execute(async (trx) => {
    await trx.updateTable("volumes").set({ attached_to: null }).where("attached_to", "=", sandboxId).execute();
    await trx.updateTable("layers").set({ held_by: null }).where("held_by", "=", sandboxId).execute();
    await trx.deleteFrom("disk_leases").where("sandbox", "=", sandboxId).execute();
    if (throwAway.length > 0) await trx.deleteFrom("layers").where("id", "in", throwAway).execute();
  });
}

/** The random part of an id: unique, and of the 20 characters that a disk's serial may have. */
function serialOf(volumeId: string): string {
  return volumeId.slice(-20);
}

/** Hands disks to sandboxes and takes them back. A volume belongs to one sandbox at a time, a snapshot to any number. */
import { posix } from "node:path";
import { CaissonError, type DiskAttachment, type LayerId, type RootDisk, type VolumeMount } from "@caisson/protocol";
import {
  diskLayers,
  newLayerId,
  plannedLayer,
  requireDiskSpace,
  requireHere,
  waitForEnd,
  type VolumeContext,
} from "../layers/context.ts";
import type { SnapshotRow, VolumeRow, VolumeTransaction } from "../layers/tables.ts";
import type { DiskRequest } from "../workloads/index.ts";
import { attached } from "./delete.ts";
import { findSnapshot, findVolume, requireVolume } from "./lookup.ts";
import { settleVolume } from "./take-snapshot.ts";

export interface Disks {
  readonly root?: RootDisk;
  /** Name of the machine that was prepared on `root`. */
  readonly prepared?: string;
  readonly volumes: readonly VolumeMount[];
}

/** A machine that was prepared on a layer over a snapshot, about to be handed out. */
export interface Claimed {
  /** Its name, which has the lease of that layer. */
  readonly holder: string;
  /** Ends the machine and takes the layer back. */
  giveUp(): Promise<void>;
}

const rootSerial = "root";
const maximumVolumes = 8;
/** What the guest's system owns: a disk over one of these would leave no working sandbox. */
const reservedPaths = ["/proc", "/sys", "/dev", "/run", "/bin", "/sbin", "/lib", "/lib64", "/usr", "/etc", "/boot"];

/**
 * Takes every disk or none. The sandbox keeps them until `releaseDisks`.
 * @param claim takes the machine that was prepared on a snapshot
 * @throws CaissonError `not_found`, `invalid_argument`, `invalid_state` (VOLUME_ATTACHED, BASE_IMAGE_CHANGED), `resource_exhausted`
 */
export async function acquireDisks(
  ctx: VolumeContext,
  orgId: string,
  sandboxId: string,
  request: DiskRequest,
  claim: (snapshot: SnapshotRow) => Claimed | undefined = () => undefined,
): Promise<Disks> {
  if (request.root === undefined && request.volumes.length === 0) return { volumes: [] };
  const paths = checkPaths(request.volumes.map(({ path }) => path));
  const volumes: VolumeRow[] = [];
  for (const { volume } of request.volumes) volumes.push(await requireVolume(ctx.db, orgId, volume));
  const root = request.root === undefined ? undefined : await findRoot(ctx, orgId, request.root);
  const taken = root?.volume === undefined ? volumes : [...volumes, root.volume];
  if (new Set(taken.map(({ id }) => id)).size < taken.length)
    throw new CaissonError("invalid_argument", "A volume can have one place in a sandbox; name each volume once.");
  if (root?.snapshot !== undefined) await requireDiskSpace(ctx);
  for (const volume of taken) requireHere(ctx, volume);
  if (root?.snapshot !== undefined) requireHere(ctx, root.snapshot);
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
 * A throw-away layer over a snapshot, for a machine that belongs to no sandbox yet. `releaseDisks` takes it back.
 * @param holder in the place of a sandbox's id
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
    throw new CaissonError("not_found", `There is no volume or snapshot \`${idOrSlug.slice(0, 64)}\`.`, {
      wireCode: "VOLUME_NOT_FOUND",
    });
  if (found.bootable !== 1) {
    throw new CaissonError(
      "invalid_argument",
      `\`${found.slug}\` is not bootable. Make a bootable volume with \`from: "builtin:debian-13"\` or from a snapshot of one.`,
      { wireCode: "NOT_BOOTABLE" },
    );
  }
  if (found.base_image !== ctx.baseImage()) {
    throw new CaissonError(
      "invalid_state",
      `\`${found.slug}\` was made on another version of the base image (${found.base_image}), which this server no longer runs (it runs ${ctx.baseImage()}).`,
      {
        wireCode: "BASE_IMAGE_CHANGED",
      },
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
    if (now === undefined) throw new CaissonError("not_found", `The volume \`${volume.slug}\` was deleted meanwhile.`);
    throw attached(now);
  }
  // Read here and not before: a snapshot may have changed it since.
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
  if (still === undefined) throw new CaissonError("not_found", `The snapshot \`${slug}\` was deleted meanwhile.`);
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
    // Ready before there is a file: it is nobody's but its sandbox's, and a crash takes back both.
    .values({ ...plannedLayer(ctx, { id, parent: snapshot.layer, kind: "ephemeral" }), state: "ready" })
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
  if (numUpdatedRows !== 1n) throw new CaissonError("internal", "The layer of a prepared machine has no lease.");
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
  if (file === undefined) throw new CaissonError("internal", `The image of layer ${layer} is gone.`);
  return file.virtualBytes;
}

/**
 * Takes back what a sandbox has, after its machine has ended. Idempotent.
 * @returns the volumes among it
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
  for (const { volume } of leases) if (volume !== null) await settleVolume(ctx, volume);
  const throwAway = leases.filter(({ volume }) => volume === null).map(({ layer }) => layer);
  for (const layer of throwAway) await ctx.layers.remove(layer);
  await ctx.db.transaction().execute(async (trx) => {
    await trx.updateTable("volumes").set({ attached_to: null }).where("attached_to", "=", sandboxId).execute();
    await trx.deleteFrom("disk_leases").where("sandbox", "=", sandboxId).execute();
    if (throwAway.length > 0) await trx.deleteFrom("layers").where("id", "in", throwAway).execute();
  });
}

/** The random part of an id: unique, and of the 20 characters that a disk's serial may have. */
function serialOf(volumeId: string): string {
  return volumeId.slice(-20);
}

/** @returns the paths in canonical form. @throws CaissonError `invalid_argument` */
export function checkPaths(paths: readonly string[]): string[] {
  if (paths.length > maximumVolumes)
    throw new CaissonError("invalid_argument", `A sandbox mounts at most ${maximumVolumes} volumes.`);
  const checked = paths.map((path) => {
    const clean = posix.normalize(path).replace(/(.)\/$/, "$1");
    if (!path.startsWith("/") || path.includes("\0") || Buffer.byteLength(clean) > 1024) {
      throw new CaissonError(
        "invalid_argument",
        `A volume is mounted at an absolute path, not at ${JSON.stringify(path.slice(0, 200))}.`,
      );
    }
    if (
      clean === "/" ||
      reservedPaths.some(
        (reserved) =>
          clean === reserved ||
          ((reserved === "/proc" || reserved === "/sys" || reserved === "/dev") && clean.startsWith(`${reserved}/`)),
      )
    ) {
      throw new CaissonError(
        "invalid_argument",
        `A volume cannot be mounted at ${clean}; for a root file system use \`root\`.`,
      );
    }
    return clean;
  });
  if (new Set(checked).size < checked.length)
    throw new CaissonError("invalid_argument", "Two volumes cannot be mounted at one path.");
  return checked;
}

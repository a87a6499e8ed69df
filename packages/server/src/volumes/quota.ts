/** Limits of one organisation. */
import { CaissonError } from "@caisson/protocol";
import { storedBytes, type StoredBytes } from "../layers/stored-bytes.ts";
import type { VolumeTransaction } from "../layers/tables.ts";
import type { VolumeContext } from "../layers/context.ts";

export interface Wanted {
  readonly what: "volume" | "snapshot";
  /** The most that it will store: the capacity of a volume, the image of a snapshot. */
  readonly bytes: number;
}

/**
 * Everything counts that is on the disk: volumes with their capacity, snapshots and deleted volumes with their images. Otherwise a loop of
 * fill and snapshot, or of create, fill and delete, could fill the disk.
 * @throws CaissonError `resource_exhausted` (VOLUME_LIMIT_REACHED)
 */
export async function checkQuota(
  ctx: VolumeContext,
  trx: VolumeTransaction,
  orgId: string,
  { what, bytes }: Wanted,
): Promise<void> {
  const { maxCount, maxBytes } = ctx.config.volumes;
  const count = await countOf(trx, orgId);
  if (count >= maxCount)
    throw refused(`This organisation has ${count} volumes and snapshots; the limit is ${maxCount}. Delete one first.`);
  const stored = await storedBytes(trx, orgId);
  if (stored.total + bytes <= maxBytes) return;
  throw refused(
    `A ${what} of up to ${bytes} bytes would exceed the limit of this organisation, ${maxBytes} bytes. ${describe(stored)} ${await advice(trx, orgId, stored, what)}`,
  );
}

async function countOf(trx: VolumeTransaction, orgId: string): Promise<number> {
  const volumes = await trx
    .selectFrom("volumes")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("org_id", "=", orgId)
    .where("state", "!=", "deleted")
    .executeTakeFirstOrThrow();
  const snapshots = await trx
    .selectFrom("snapshots")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("org_id", "=", orgId)
    .executeTakeFirstOrThrow();
  return Number(volumes.count) + Number(snapshots.count);
}

function describe({ volumes, snapshots, deleted }: StoredBytes): string {
  return `Volumes use ${volumes} bytes (their capacities), snapshots ${snapshots}, deleted volumes ${deleted}.`;
}

/** What to delete: the largest snapshots by name, since they cost what nobody sees. */
async function advice(
  trx: VolumeTransaction,
  orgId: string,
  { snapshots, deleted }: StoredBytes,
  what: Wanted["what"],
): Promise<string> {
  const largest = await trx
    .selectFrom("snapshots")
    .innerJoin("layers", "layers.id", "snapshots.layer")
    .select(["snapshots.slug", "layers.bytes"])
    .where("snapshots.org_id", "=", orgId)
    .where("snapshots.state", "=", "ready")
    .where("layers.bytes", ">", 0)
    .orderBy("layers.bytes", "desc")
    .limit(3)
    .execute();
  const names = largest.map(({ slug, bytes }) => `\`${slug}\` (${bytes} bytes)`).join(", ");
  const steps = [
    names === "" ? "Delete a volume first" : `Delete a snapshot or volume first; the largest snapshots are ${names}`,
    ...(what === "volume" ? ["create a smaller volume"] : []),
  ];
  const later = [
    ...(snapshots > 0
      ? ["The space of a snapshot is free some seconds after the last volume that needs its data is not in use."]
      : []),
    ...(deleted > 0 ? ["Deleted volumes free their space when they can no longer be restored."] : []),
  ];
  return [`${steps.join(", or ")}.`, ...later].join(" ");
}

function refused(message: string): CaissonError {
  return new CaissonError("resource_exhausted", message, { wireCode: "VOLUME_LIMIT_REACHED" });
}

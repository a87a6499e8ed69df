/** Limits of one organisation. */
import { CaissonError } from "@caisson/protocol";
import type { VolumeTransaction } from "../layers/tables.ts";
import type { VolumeContext } from "../layers/context.ts";

/**
 * Deleted volumes count with the storage that they use until it is freed. Otherwise a loop of create, fill and delete could fill the disk.
 * @param bytes capacity of a new volume; 0 for a snapshot
 * @throws CaissonError `resource_exhausted` (VOLUME_LIMIT_REACHED)
 */
export async function checkQuota(
  ctx: VolumeContext,
  trx: VolumeTransaction,
  orgId: string,
  bytes: number,
): Promise<void> {
  const { maxCount, maxBytes } = ctx.config.volumes;
  const volumes = await trx
    .selectFrom("volumes")
    .select((eb) => [
      "state",
      eb.fn.countAll().as("count"),
      eb.fn.sum("capacity").as("capacity"),
      eb.fn.sum("allocated_bytes").as("allocated"),
    ])
    .where("org_id", "=", orgId)
    .groupBy("state")
    .execute();
  const snapshots = await trx
    .selectFrom("snapshots")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("org_id", "=", orgId)
    .executeTakeFirstOrThrow();
  let count = Number(snapshots.count);
  let sum = bytes;
  for (const row of volumes) {
    if (row.state !== "deleted") count += Number(row.count);
    sum += Number(row.state === "deleted" ? row.allocated : row.capacity);
  }
  const refuse = (message: string) =>
    new CaissonError("resource_exhausted", message, { wireCode: "VOLUME_LIMIT_REACHED" });
  if (count >= maxCount)
    throw refuse(`This organisation has ${count} volumes and snapshots; the limit is ${maxCount}. Delete one first.`);
  if (bytes > 0 && sum > maxBytes)
    throw refuse(
      `A volume of ${bytes} bytes would exceed the limit of this organisation, ${maxBytes} bytes for all its volumes. Delete a volume first, or create a smaller one.`,
    );
}

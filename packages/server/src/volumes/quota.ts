/** What one organisation may have. */
import { CaissonError } from "@caisson/protocol";
import type { Transaction } from "kysely";
import type { Tables } from "../store/tables.ts";
import type { VolumeContext } from "./context.ts";

/**
 * Deleted volumes count with what they hold until it is given back: otherwise a loop of create, fill, delete could fill the host.
 * @param bytes capacity to be added; 0 for a snapshot
 * @throws CaissonError `resource_exhausted` (VOLUME_LIMIT_REACHED)
 */
export async function checkQuota(
  ctx: VolumeContext,
  trx: Transaction<Tables>,
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
    throw refuse(`This organisation has ${count} of ${maxCount} volumes and snapshots. Delete one first.`);
  if (bytes > 0 && sum > maxBytes)
    throw refuse(
      `With ${bytes} bytes more this organisation would have more than ${maxBytes} bytes of volumes. Delete one first.`,
    );
}

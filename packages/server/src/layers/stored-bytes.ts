/**
 * What an organisation stores on disk, as its limit counts it. A layer that still changes counts with the most that it can become, and
 * one that no longer changes with what its image takes. So what is on the disk can never exceed what was counted.
 */
import { sql } from "kysely";
import type { VolumeContext } from "./context.ts";
import type { LayerId } from "@caisson/protocol";
import type { VolumeDatabase, VolumeTransaction } from "./tables.ts";

export interface StoredBytes {
  /** Capacities of volumes: the layer that a volume writes to may fill up to it. */
  readonly volumes: number;
  /** Images of snapshots, and of deleted snapshots whose data volumes still need. One that is being taken counts with its capacity. */
  readonly snapshots: number;
  /** Images of deleted volumes until their storage is freed. */
  readonly deleted: number;
  readonly total: number;
}

/** Counted over all nodes. Layers of sandboxes that are removed with them have a limit of their own. */
export async function storedBytes(db: VolumeDatabase | VolumeTransaction, orgId: string): Promise<StoredBytes> {
  const capacities = async (table: "volumes" | "snapshots", states: readonly string[]) => {
    const { bytes } = await db
      .selectFrom(table)
      .select((eb) => eb.fn.sum("capacity").as("bytes"))
      .where("org_id", "=", orgId)
      .where("state", "in", states as never)
      .executeTakeFirstOrThrow();
    return Number(bytes ?? 0);
  };
  const volumes = await capacities("volumes", ["creating", "ready"]);
  const unfinished = await capacities("snapshots", ["creating"]);
  const images = await db
    .selectFrom("layers")
    .leftJoin("volumes", "volumes.head", "layers.id")
    .select(["volumes.state", (eb) => eb.fn.sum("layers.bytes").as("bytes")])
    .where("layers.org_id", "=", orgId)
    .where("layers.kind", "!=", "ephemeral")
    .groupBy("volumes.state")
    .execute();
  const of = (state: string | null) => Number(images.find((row) => row.state === state)?.bytes ?? 0);
  const snapshots = unfinished + of(null);
  const deleted = of("deleted");
  return { volumes, snapshots, deleted, total: volumes + snapshots + deleted };
}

/** Records what the image of a layer takes, when it no longer changes. @returns bytes */
export async function recordBytes(
  { layers }: Pick<VolumeContext, "layers">,
  db: VolumeDatabase | VolumeTransaction,
  id: LayerId,
): Promise<number> {
  const bytes = (await layers.stat(id))?.fileBytes ?? 0;
  await db.updateTable("layers").set({ bytes }).where("id", "=", id).execute();
  return bytes;
}

/** For layers that an earlier version or a repair left without. A damaged one counts nothing until it is repaired. */
export async function recordMissingBytes(ctx: VolumeContext): Promise<void> {
  const rows = await ctx.db
    .selectFrom("layers")
    .leftJoin("volumes", "volumes.head", "layers.id")
    .select("layers.id")
    .where("layers.node_id", "=", ctx.nodeId)
    .where("layers.bytes", "is", null)
    .where((eb) => eb.or([eb("layers.sealed", "=", 1), eb("volumes.state", "=", "deleted")]))
    .execute();
  for (const { id } of rows)
    await recordBytes(ctx, ctx.db, id).catch((error: unknown) =>
      ctx.log.warn({ err: error, layer: id }, "the size of an image could not be read"),
    );
}

/**
 * What a shorter chain costs: layers between the two that others need as well stay, and their data is then there twice.
 * @returns bytes that an organisation would store more
 */
export async function bytesOfCollapse(
  db: VolumeDatabase,
  between: readonly { readonly id: LayerId; readonly bytes: number | null }[],
): Promise<number> {
  if (between.length === 0) return 0;
  const ids = between.map(({ id }) => id);
  const { needed } = await db
    .selectNoFrom((eb) => [
      eb
        .selectFrom("snapshots")
        .select(sql<number>`count(*)`.as("n"))
        .where("layer", "in", ids)
        .as("snapshots"),
      eb
        .selectFrom("layers")
        .select(sql<number>`count(*)`.as("n"))
        .where("parent", "in", ids)
        .as("children"),
    ])
    .executeTakeFirstOrThrow()
    // Each of them has the one above it as a child in any case.
    .then(({ snapshots, children }) => ({ needed: Number(snapshots) > 0 || Number(children) > ids.length }));
  return needed ? between.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0) : 0;
}

/** How large volumes and snapshots are, from the allocation of their images. */
import type { LayerId } from "@caisson/protocol";
import { layerChain, type VolumeContext } from "./context.ts";
import type { LayerRow } from "./tables.ts";

/**
 * What the hosted service reports for a fresh file system, and the official Python client's tests compare with. Ours takes less or
 * more, depending on its capacity; what is written to it afterwards is counted as it is.
 */
export const freshFileSystemBytes = 8_797_184;

export interface Sizes {
  /** Data of the volume's own: not that of the snapshot it was made from, nor of the built-in image. */
  readonly allocated: number;
  /** All data but that of the built-in image. */
  readonly flattened: number;
}

/**
 * @param head the layer that is read
 * @param origin the layer that the volume was made from, if it is still there
 */
export async function measureSizes(ctx: VolumeContext, head: LayerId, origin: LayerId | null): Promise<Sizes> {
  const [rows, bytes] = await Promise.all([layerChain(ctx.db, head), ctx.layers.measure(head)]);
  return sizesOf(rows, bytes, origin);
}

/** @param rows top first */
export function sizesOf(
  rows: readonly Pick<LayerRow, "id" | "kind" | "formatted_bytes">[],
  bytes: Readonly<Record<LayerId, number>>,
  origin: LayerId | null,
): Sizes {
  let allocated = 0;
  let flattened = 0;
  let own = true;
  for (const row of rows) {
    if (row.kind === "builtin") break;
    if (row.id === origin) own = false;
    const fresh = row.formatted_bytes === 0 ? 0 : freshFileSystemBytes - row.formatted_bytes;
    const size = (bytes[row.id] ?? 0) + fresh;
    flattened += size;
    if (own) allocated += size;
  }
  return { allocated: Math.max(0, allocated), flattened: Math.max(0, flattened) };
}

/** Measures a volume and stores the result. Failures are logged: a size is an estimate and stops nobody. */
export async function refreshVolume(ctx: VolumeContext, id: string): Promise<void> {
  try {
    const volume = await ctx.db
      .selectFrom("volumes")
      .select(["head", "base_snapshot"])
      .where("id", "=", id)
      .executeTakeFirst();
    if (volume === undefined) return;
    const origin =
      volume.base_snapshot === null
        ? null
        : await ctx.db
            .selectFrom("snapshots")
            .select("layer")
            .where("id", "=", volume.base_snapshot)
            .executeTakeFirst();
    const sizes = await measureSizes(ctx, volume.head, origin?.layer ?? null);
    await ctx.db
      .updateTable("volumes")
      .set({ allocated_bytes: sizes.allocated, flattened_bytes: sizes.flattened, measured_at: Date.now() })
      .where("id", "=", id)
      .execute();
  } catch (error) {
    ctx.log.warn({ err: error, volume: id }, "the size of a volume is not known");
  }
}

/** Sizes of volumes and snapshots, from the allocation of their images. */
import type { LayerId } from "@caisson/protocol";
import { layerChain, writtenLayers, type VolumeContext } from "./context.ts";
import type { LayerRow } from "./tables.ts";

/**
 * Size that is reported for a new file system. The hosted service reports it and tests of the official Python client expect it. The real
 * size depends on the capacity. Data that is written later is added as it is.
 */
export const freshFileSystemBytes = 8_797_184;

export interface Sizes {
  /** Bytes of the volume alone, without the snapshot that it was created from and the built-in image. */
  readonly allocated: number;
  /** Bytes of all its data without the built-in image. */
  readonly flattened: number;
}

/**
 * @param head the layer that is read
 * @param origin the layer that the volume was created from, if that snapshot still exists
 */
export async function measureSizes(ctx: VolumeContext, head: LayerId, origin: LayerId | null): Promise<Sizes> {
  const rows = await layerChain(ctx.db, head);
  const written = await writtenLayers(ctx);
  // The structure of an image that a running machine can write is not read: its size is that of its file.
  const first = rows.findLastIndex(({ id }) => written.has(id)) + 1;
  const bytes: Record<LayerId, number> = {};
  for (const { id } of rows.slice(0, first)) {
    const file = await ctx.layers.stat(id);
    bytes[id] = Math.max(0, (file?.fileBytes ?? 0) - emptyImageBytes);
  }
  const rest = rows.slice(first).map(({ id }) => id);
  return sizesOf(rows, rest.length === 0 ? bytes : { ...bytes, ...(await ctx.layers.measure(rest)) }, origin);
}

/** An empty qcow2 image has four clusters. */
const emptyImageBytes = 4 * 65536;

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

/** Measures a volume and stores the result. A failure is only logged, because the size is an estimate. */
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
    ctx.log.warn({ err: error, volume: id }, "the size of a volume could not be measured");
  }
}

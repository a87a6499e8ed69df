/** Volumes and snapshots over REST (wire contract 1.7). */
import { z } from "zod";

const reference = z.object({ id: z.string(), slug: z.string() });

/** The official clients put their own options, token included, into these bodies: unknown keys are dropped and nothing is logged. */
export const createVolumeRequest = z
  .object({
    slug: z.string().max(64),
    region: z.string().max(32).nullish().describe("Default: the region of this server."),
    capacity: z
      .union([z.number(), z.string().max(64)])
      .describe("Bytes, or a number with GB, MB, kB, GiB, MiB or KiB. 300 MB to 20 GB."),
    from: z.string().max(64).nullish().describe("`builtin:debian-13`, or id or slug of a snapshot."),
  })
  .meta({ id: "CreateVolumeRequest" });

export const snapshotRequest = z.object({ slug: z.string().max(64) }).meta({ id: "SnapshotRequest" });

export const volumeSchema = z
  .object({
    id: z.string(),
    slug: z.string(),
    region: z.string(),
    capacity: z.int(),
    estimated_allocated_size: z.int().describe("Bytes of this volume alone."),
    estimated_flattened_size: z.int().describe("Bytes with what it shares with snapshots."),
    is_bootable: z.boolean(),
    base_snapshot: reference.nullable(),
  })
  .meta({ id: "Volume" });

export const snapshotSchema = z
  .object({
    id: z.string(),
    slug: z.string(),
    region: z.string(),
    allocated_size: z.int(),
    flattened_size: z.int(),
    is_bootable: z.boolean(),
    volume: reference,
  })
  .meta({ id: "Snapshot" });

export type CreateVolumeRequest = z.infer<typeof createVolumeRequest>;
export type SnapshotRequest = z.infer<typeof snapshotRequest>;
export type Volume = z.infer<typeof volumeSchema>;
export type Snapshot = z.infer<typeof snapshotSchema>;

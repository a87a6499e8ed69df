/** Disks and the database. */
import { z } from "zod";

export const volumes = z
  .strictObject({
    maxCount: z.int().min(0).default(200).describe("Most volumes and snapshots of one organisation."),
    maxBytes: z
      .int()
      .min(0)
      .default(500e9)
      .describe(
        "Most bytes that one organisation can store: the capacities of its volumes, and what the images of its snapshots and deleted volumes take.",
      ),
    reclaimAfter: z
      .int()
      .min(0)
      .default(24 * 3600)
      .describe("How long a deleted volume can be restored, seconds."),
    keepUnknownCopies: z
      .int()
      .min(0)
      .default(7 * 24 * 3600)
      .describe(
        "How long a copy of an image that belongs to no layer in the database is kept, seconds. After the restore of an older database it may be needed.",
      ),
    minFreeDisk: z
      .int()
      .min(0)
      .default(2 * 2 ** 30)
      .describe(
        "New volumes, snapshots and sandboxes with a root snapshot are refused while less disk space than this is free, bytes.",
      ),
  })
  .prefault({});

export const database = z
  .strictObject({
    reserveBytes: z
      .int()
      .min(0)
      .default(16 * 2 ** 20)
      .describe(
        "Size of the file `caisson.reserve` beside the embedded database, bytes. When the disk is full, its space is used to record ends and deletions. 0: none.",
      ),
  })
  .prefault({});

/** The answer of `/healthz`. */
import { z } from "zod";

export const healthSchema = z
  .object({
    status: z.literal("ok"),
    accelerator: z.enum(["kvm", "tcg"]),
    machines: z.int().describe("Running machines."),
    pooled: z.int().describe("Restored machines that wait to be used."),
    standing: z.int().describe("Machines that were prepared with a snapshot as root."),
    damaged: z
      .object({ volumes: z.int(), snapshots: z.int(), revisions: z.int() })
      .describe(
        "Volumes and snapshots that cannot be used because their data is damaged, and revisions that lack files.",
      ),
  })
  .meta({ id: "Health" });

export type Health = z.infer<typeof healthSchema>;

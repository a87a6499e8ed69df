/** The answer of `/healthz`. */
import { z } from "zod";

export const healthSchema = z
  .object({
    status: z.literal("ok"),
    accelerator: z.enum(["kvm", "tcg"]),
    machines: z.int().describe("Running machines."),
    pooled: z.int().describe("Restored machines that wait to be used."),
    standing: z.int().describe("Machines that were prepared with a snapshot as root."),
  })
  .meta({ id: "Health" });

export type Health = z.infer<typeof healthSchema>;

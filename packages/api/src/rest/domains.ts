/** Domains of apps, over REST: an addition of Caisson to the public contract. */
import { z } from "zod";

export const newDomain = z
  .strictObject({
    domain: z.string().min(1).max(253).describe("A hostname of yours, such as `shop.example.com`."),
  })
  .meta({ id: "NewDomain" });

export const appDomain = z
  .object({
    domain: z.string(),
    status: z.enum(["pending", "verified"]).describe("A `verified` one serves production of the app."),
    verification: z
      .object({ type: z.literal("TXT"), name: z.string(), value: z.string() })
      .describe("The DNS record that proves that the domain is yours."),
    target: z.string().nullable().describe("Where the domain must lead, by a CNAME or address record."),
    created_at: z.iso.datetime(),
    verified_at: z.iso.datetime().nullable(),
  })
  .meta({ id: "AppDomain" });

export type AppDomain = z.infer<typeof appDomain>;

/** Exposed ports over REST: additions of Caisson to the public contract. */
import { z } from "zod";

export const preview = z
  .object({
    address: z.string().describe("What a visitor writes behind `https://`."),
    port: z.int().optional().describe("The port that it leads to."),
    pid: z.int().optional().describe("The process that it leads to, on whatever port it listens."),
    protected: z.boolean().describe("`false`: whoever knows the address may visit it."),
  })
  .meta({ id: "Preview" });

export const newPreview = z
  .strictObject({
    port: z.int().min(1).max(65_535),
    protected: z
      .boolean()
      .default(false)
      .describe("`true`: visitors need a signed link, or a token of the organisation in `Caisson-Authorization`."),
  })
  .meta({ id: "NewPreview" });

export const previewChange = z
  .strictObject({ protected: z.boolean().describe("`true` on a protected address revokes its links.") })
  .meta({ id: "PreviewChange" });

export const newPreviewLink = z
  .strictObject({
    expiresInSeconds: z
      .int()
      .min(1)
      .max(30 * 24 * 3600)
      .default(24 * 3600)
      .describe("Seconds for which the link, and the access that it gives to a browser, is valid."),
  })
  .meta({ id: "NewPreviewLink" });

export const previewLink = z
  .object({ url: z.string(), expiresAt: z.number().describe("Epoch milliseconds.") })
  .meta({ id: "PreviewLink" });

export const previewVisit = z
  .object({
    id: z.string(),
    name: z.string().describe("The hostname, without the gateway's domain."),
    kind: z.enum(["request", "websocket"]),
    version: z.enum(["1.0", "1.1", "2"]).describe("Of HTTP, as the visitor spoke it."),
    at: z.number().describe("Epoch milliseconds, at the start."),
    durationMs: z.number(),
    visitor: z.string().describe("Address of the client."),
    method: z.string(),
    path: z.string().describe("Without the query, at most 1024 characters."),
    status: z.int().describe("499: the visitor left before there was an answer."),
    rule: z.string().optional().describe("Why the gateway answered in place of the program."),
    bytesIn: z.number(),
    bytesOut: z.number(),
    skipped: z.int().optional().describe("So many visits right before this one were not recorded one by one."),
  })
  .meta({ id: "PreviewVisit" });

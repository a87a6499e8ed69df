/** Bodies of the REST interface. The OpenAPI document is made from these. */
import { z } from "zod";

export const errorSchema = z.object({ code: z.string(), message: z.string() }).meta({ id: "Error" });

export const extendRequest = z
  .object({ stop_at_ms: z.int().describe("New end of life, epoch milliseconds.") })
  .meta({ id: "ExtendRequest" });
export const extendResponse = z
  .object({ stop_at_ms: z.int().describe("The end of life that was granted.") })
  .meta({ id: "ExtendResponse" });

export const exposeResponse = z
  .object({
    domain: z
      .string()
      .describe("Reserved name, with a port unless it is 443. `https://` in front of it is the address."),
  })
  .meta({ id: "ExposeResponse" });

export const sandboxSchema = z
  .object({
    id: z.string(),
    createdAt: z.iso.datetime(),
    stoppedAt: z.iso.datetime().nullable(),
    region: z.string(),
    status: z.enum(["running", "stopped"]),
    labels: z.record(z.string(), z.string()),
  })
  .meta({ id: "Sandbox" });

export const auditQuery = z
  .object({
    sandbox: z.string().optional(),
    host: z.string().optional(),
    verdict: z.enum(["allowed", "refused", "failed"]).optional(),
    since: z
      .union([
        z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)),
        z
          .string()
          .regex(/^\d{1,15}$/)
          .transform(Number),
      ])
      .optional(),
  })
  .meta({ id: "AuditQuery" });

export const auditEvent = z
  .object({
    id: z.string(),
    kind: z.enum(["connection", "request"]),
    at: z.number().describe("Epoch milliseconds, at the start."),
    sandboxId: z.string(),
    connection: z.string(),
    host: z.string(),
    port: z.int(),
    address: z.string().optional(),
    protocol: z.enum(["tcp", "tls", "http/1.1", "h2", "websocket", "unknown"]),
    verdict: z.enum(["allowed", "refused", "failed"]),
    rule: z.string(),
    method: z.string().optional(),
    path: z.string().optional(),
    status: z.int().optional(),
    bytesOut: z.number(),
    bytesIn: z.number(),
    durationMs: z.number(),
    secrets: z.array(z.string()).optional().describe("Names, never values."),
    detail: z.string().optional(),
  })
  .meta({ id: "AuditEvent" });

/** What sandboxes tried to reach, over REST: an addition of Caisson to the public contract. */
import { z } from "zod";

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
    kind: z
      .enum(["connection", "request", "summary", "ssh"])
      .describe(
        "`summary`: stands for events that were not recorded one by one; `detail` says how many. `ssh`: a connection into the sandbox by SSH, at its login and at its end; `host` and `port` are the client's. With the rules `ssh-key-added` and `ssh-key-removed`: a key of the organisation.",
      ),
    at: z.number().describe("Epoch milliseconds, at the start."),
    sandboxId: z.string(),
    connection: z.string(),
    host: z.string(),
    port: z.int(),
    address: z.string().optional(),
    protocol: z.enum(["tcp", "tls", "http/1.1", "h2", "websocket", "dns", "ssh", "unknown"]),
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

export type AuditQuery = z.infer<typeof auditQuery>;
export type AuditEvent = z.infer<typeof auditEvent>;

/** The way out of sandboxes. */
import { z } from "zod";

export const egress = z
  .strictObject({
    resolve: z
      .record(z.string(), z.string())
      .default({})
      .describe(
        "Maps `name` or `name:port` to `address` or `address:port`, for mirrors, air-gapped networks and tests. A mapped address may be internal.",
      ),
    allowRanges: z.array(z.string()).default([]).describe("Internal address ranges (CIDR) that sandboxes may reach."),
    upstreamProxy: z
      .url({ protocol: /^http$/ })
      .optional()
      .describe("HTTP proxy for all outgoing connections."),
    extraCa: z
      .array(z.string())
      .default([])
      .describe(
        "PEM files with more certificate authorities to trust for upstream servers. Only for connections that the proxy terminates, and for `sandbox.fetch`.",
      ),
    maxBytesOutPerHost: z
      .int()
      .min(0)
      .optional()
      .describe("Most bytes that one sandbox may send to one hostname in its life. Default: no limit."),
    answerTimeoutSeconds: z
      .int()
      .min(1)
      .max(86_400)
      .default(86_400)
      .describe(
        "How long an upstream may take to begin its answer, seconds. Normally the program in the sandbox gives up earlier, by its own limit.",
      ),
    workers: z.int().min(1).max(64).default(1).describe("Number of egress proxy processes."),
    auditRetentionDays: z.int().min(1).default(30).describe("How long audit events are kept, days."),
    auditEventsPerMinute: z
      .int()
      .min(0)
      .default(300)
      .describe(
        "Most audit events of one sandbox in a minute that are recorded one by one, for each verdict. One more event says how many others there were.",
      ),
    auditEventsPerOrganisation: z
      .int()
      .min(0)
      .default(500_000)
      .describe(
        "Most audit events of one organisation that are kept. The oldest are removed first. An event takes about 1 KB.",
      ),
  })
  .prefault({});

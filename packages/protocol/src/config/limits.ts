/** Limits of organisations and clients. */
import { z } from "zod";

export const limits = z
  .strictObject({
    concurrentSandboxes: z
      .int()
      .min(1)
      .default(5)
      .describe("Most sandboxes that one organisation can run at the same time."),
    developmentConcurrentSandboxes: z
      .int()
      .min(1)
      .default(64)
      .describe("The same limit for the development organisation."),
    endedSandboxes: z
      .int()
      .min(0)
      .default(100_000)
      .describe("Most ended sandboxes that stay in the lists of one organisation. The oldest are removed first."),
    writableBytes: z
      .int()
      .min(0)
      .default(1e12)
      .describe(
        "Most bytes that the writable layers of one organisation's running sandboxes can take. Each counts with its largest size: `sandbox.diskBytes`, or the capacity of the snapshot that is its root.",
      ),
    auditStreams: z
      .int()
      .min(0)
      .default(16)
      .describe("Most live streams of audit events that one organisation can read at the same time."),
    messageBytes: z
      .int()
      .min(65536)
      .default(100 * 2 ** 20)
      .describe("Largest WebSocket message that a client may send, bytes."),
    connectionsPerSandbox: z.int().min(1).default(128).describe("Most WebSocket connections to one sandbox."),
    memoryPerSandbox: z
      .int()
      .min(16)
      .default(256)
      .describe(
        "Most memory of the server that the clients and the guest of one sandbox can fill, MiB. Half of it is for whole contents, so a message of `messageBytes` must fit into half.",
      ),
    memoryPerOrganisation: z
      .int()
      .min(16)
      .default(512)
      .describe("The same for all sandboxes of one organisation, MiB."),
    memory: z.int().min(16).default(1024).describe("The same for all organisations, MiB."),
  })
  .refine(
    (value) =>
      value.messageBytes <= Math.min(value.memoryPerSandbox, value.memoryPerOrganisation, value.memory) * 2 ** 19,
    "`messageBytes` must be at most half of `memoryPerSandbox`, `memoryPerOrganisation` and `memory`",
  )
  .prefault({});

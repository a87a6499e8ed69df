/** Apps: how many, how large, and how long what they leave is kept. */
import { z } from "zod";

export const apps = z
  .strictObject({
    maxCount: z.int().min(0).default(100).describe("Most apps of one organisation."),
    maxLayers: z.int().min(0).default(100).describe("Most layers of configuration of one organisation."),
    envVars: z
      .int()
      .min(0)
      .default(256)
      .describe("Most environment variables of one app, of one layer, and of one revision."),
    envBytes: z
      .int()
      .min(0)
      .default(256 * 1024)
      .describe("Most bytes that their names and values can have together."),
    maxRevisions: z
      .int()
      .min(1)
      .default(1000)
      .describe(
        "Most revisions of one app. When a new one would be beyond it, the oldest that is neither active, building nor kept is deleted.",
      ),
    buildLogBytes: z
      .int()
      .min(1024)
      .default(4 * 2 ** 20)
      .describe(
        "Most bytes of build logs that are kept of one revision. What is beyond is dropped, and one line says so.",
      ),
    logLineBytes: z
      .int()
      .min(256)
      .default(16 * 1024)
      .describe("Most bytes of one message in build logs and runtime logs. Longer ones are cut."),
    logLinesPerMinute: z
      .int()
      .min(1)
      .default(6000)
      .describe("Most lines that one app can log in a minute. What is beyond is counted, and one line says how many."),
    logBytes: z
      .int()
      .min(0)
      .default(256 * 2 ** 20)
      .describe("Most bytes of runtime logs that are kept of one organisation. The oldest are removed first."),
    logRetentionDays: z.number().min(0).default(14).describe("How long runtime logs are kept, days."),
    logStreams: z
      .int()
      .min(0)
      .default(32)
      .describe("Most live streams of logs and progress that one organisation can read at the same time."),
    disableAfterDays: z
      .number()
      .min(0)
      .default(30)
      .describe(
        "A revision that nobody used for so long is disabled, unless it is active in production or kept, days.",
      ),
    deleteAfterDays: z.number().min(0).default(7).describe("A disabled revision is deleted after this time, days."),
    domains: z.int().min(0).default(50).describe("Most domains of its own that one app can have."),
    verifyDomains: z
      .boolean()
      .default(true)
      .describe(
        "`false`: a domain needs no DNS record as a proof, and the first app that adds it has it. Only where all organisations trust each other.",
      ),
    nameServers: z
      .array(z.string().regex(/^[0-9a-fA-F.:[\]]+$/, "must be an IP address, with a port if it is not 53"))
      .min(1)
      .optional()
      .describe("DNS servers that proofs of domains are looked up at. Default: the system's."),
    allowIndefiniteRetention: z
      .boolean()
      .default(true)
      .describe("Whether organisations may keep revisions that nobody uses (`retention: indefinite`)."),
  })
  .prefault({});

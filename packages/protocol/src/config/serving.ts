/** How apps are deployed and served. */
import { z } from "zod";

export const serving = z
  .strictObject({
    memory: z
      .int()
      .min(256)
      .max(65536)
      .default(768)
      .describe("Memory of an instance, MiB, within `sandbox.memoryMin` and `sandbox.memoryMax`."),
    concurrency: z
      .int()
      .min(1)
      .default(100)
      .describe("Most requests that one instance serves at the same time. Others wait for the next instance."),
    targetUtilization: z
      .number()
      .min(0.1)
      .max(1)
      .default(0.7)
      .describe("The part of `serving.concurrency` that instances should have on average. With more, another starts."),
    minInstances: z
      .int()
      .min(0)
      .default(0)
      .describe("Instances that production keeps when nobody asks, from its first request on."),
    maxInstances: z.int().min(1).default(4).describe("Most instances of one revision."),
    instancesPerOrganisation: z.int().min(1).default(16).describe("Most instances of one organisation."),
    idleTimeout: z
      .number()
      .min(5)
      .max(600)
      .default(60)
      .describe(
        "The last instance ends when no request was under way for this long, seconds. So long, its program may work on after a response.",
      ),
    startTimeout: z
      .number()
      .min(1)
      .max(600)
      .default(60)
      .describe("A program must listen on a port within this time, seconds."),
    stopTimeout: z.number().min(0).max(60).default(5).describe("Between SIGINT and SIGKILL, seconds."),
    workTimeout: z
      .number()
      .min(0)
      .max(600)
      .default(5)
      .describe(
        "After its last response the program of an instance that is not needed any more, or is replaced, may work on for this long, seconds.",
      ),
    drainTimeout: z
      .number()
      .min(0)
      .max(3600)
      .default(30)
      .describe("Requests and WebSockets of an instance that is replaced are cut after this time, seconds."),
    queue: z
      .int()
      .min(0)
      .default(1000)
      .describe("Most requests of one revision that wait for an instance. More are answered with 503."),
    queueTimeout: z
      .number()
      .min(1)
      .max(600)
      .default(120)
      .describe("Longest wait of a request for an instance, seconds."),
    cronTimeout: z
      .number()
      .min(1)
      .max(86_400)
      .default(900)
      .describe("Longest run of a cron job, seconds. It counts as failed then."),
    checkpoints: z
      .int()
      .min(0)
      .default(0)
      .describe(
        "Most checkpoints of instances that a node keeps, about 400 MB each. Those that were not used for the longest time go first. 0: none are made, and every instance starts plainly.",
      ),
    checkpointsPerOrganisation: z.int().min(1).default(4).describe("Most of them of one organisation."),
    deployBytes: z.int().min(1).default(1e9).describe("Most bytes of files in one revision."),
    deployFiles: z.int().min(1).default(50_000).describe("Most files and directories in one revision."),
    builds: z.int().min(1).default(2).describe("Most deployments that this server prepares at the same time."),
    buildMemory: z
      .int()
      .min(256)
      .max(65536)
      .default(3072)
      .describe("Memory of the machine of a build, MiB, within `sandbox.memoryMin` and `sandbox.memoryMax`."),
    buildCacheBytes: z
      .int()
      .min(0)
      .default(512 * 2 ** 20)
      .describe(
        "Most bytes of downloaded packages that are kept between the builds of one app. When there are more, the next build begins without any. 0: none are kept.",
      ),
    buildCacheBytesPerOrganisation: z
      .int()
      .min(0)
      .default(2 * 2 ** 30)
      .describe("Most bytes of them of one organisation. Those that no build used for the longest time go first."),
    buildTimeout: z.number().min(1).max(7200).default(300).describe("Longest time of one build, seconds."),
  })
  .prefault({});

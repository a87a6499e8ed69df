/** Sandboxes, and the machines that are kept ready for them. */
import { z } from "zod";

export const sandbox = z
  .strictObject({
    region: z
      .string()
      .regex(/^[a-z]{3}$/)
      .default("ord")
      .describe("Region code in every identifier that this server makes; three letters."),
    memoryMin: z.int().min(256).default(768).describe("Smallest memory of a sandbox, MiB."),
    memoryMax: z
      .int()
      .min(256)
      .max(65536)
      .default(4096)
      .describe(
        "Largest memory of a sandbox, MiB. The official JavaScript client itself refuses values outside 768 to 4096.",
      ),
    memoryDefault: z.int().min(256).default(1280).describe("Memory when the client does not set it, MiB."),
    memoryOvercommit: z
      .number()
      .min(0.01)
      .max(100)
      .default(4)
      .describe(
        "The memory limits of all sandboxes together may be this many times the host's physical memory. An idle sandbox uses a twentieth of its limit, a busy one a quarter.",
      ),
    memoryReserve: z
      .int()
      .min(0)
      .default(512)
      .describe(
        "Memory of the host that sandboxes do not get, MiB. When less is free, the heaviest sandbox of the organisation that uses most is ended.",
      ),
    vcpus: z.int().min(1).max(32).default(2).describe("Virtual processors of every sandbox."),
    diskBytes: z
      .int()
      .min(1e9)
      .default(10 * 2 ** 30)
      .describe("Size of the writable layer, bytes. It takes disk space only for what is written."),
    maxTimeout: z
      .int()
      .min(1)
      .default(30 * 60)
      .describe("Longest time until a sandbox ends, from creation or from an extension, seconds."),
    sessionGrace: z
      .int()
      .min(1)
      .default(45)
      .describe("A sandbox with the timeout `session` ends when its client sent nothing for this long, seconds."),
    startPatience: z
      .number()
      .min(1)
      .max(120)
      .default(60)
      .describe(
        "A sandbox that is not ready after so many seconds, because others are started before it, is refused. One of the Python client, which gives up after 10 s, is refused after 9 s. As many sandboxes start at a time as the host has processors.",
      ),
    flushTimeout: z
      .number()
      .min(0)
      .max(600)
      .default(6)
      .describe(
        "How long a sandbox that ends may take to write what its programs left in memory to its volumes, seconds. Clients wait 10 s for the end.",
      ),
    retentionDays: z
      .int()
      .min(1)
      .default(30)
      .describe("How long ended sandboxes stay in lists, days. Then only the sums of their use are kept, by month."),
  })
  .prefault({});

export const vscode = z
  .enum(["build", "prepared", "off"])
  .default("build")
  .describe(
    "VS Code in sandboxes. `build` builds its image at the first use, which takes minutes and downloads packages from the npm registry. `prepared` offers it only after `npm run vscode`. `off` offers none.",
  );

export const pool = z
  .strictObject({
    size: z
      .int()
      .min(0)
      .max(256)
      .default(2)
      .describe("Machines that are kept ready for new sandboxes. 0 turns the pool off."),
    standing: z
      .int()
      .min(0)
      .max(16)
      .default(1)
      .describe(
        "Machines that are kept ready in addition, on the snapshots that were last used as `root`. None when this or `pool.size` is 0.",
      ),
    minFreeMemory: z
      .int()
      .min(0)
      .default(2048)
      .describe("The pool grows only while more memory than this is free on the host, MiB."),
  })
  .prefault({});

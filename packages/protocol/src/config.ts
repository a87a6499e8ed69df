/** The configuration file `$CAISSON_HOME/config.json`: every key, its unit, its default. Unknown keys are refused. */
import { z } from "zod";

const sandbox = z
  .strictObject({
    region: z
      .string()
      .regex(/^[a-z]{3}$/)
      .default("ord")
      .describe("Three letters in every identifier made here."),
    memoryMin: z.int().min(256).default(768).describe("Smallest memory of a sandbox, MiB."),
    memoryMax: z.int().min(256).max(65536).default(4096).describe("Largest memory of a sandbox, MiB."),
    memoryDefault: z.int().min(256).default(1280).describe("Memory when the client names none, MiB."),
    vcpus: z.int().min(1).max(32).default(2).describe("Virtual processors of every sandbox."),
    diskBytes: z
      .int()
      .min(1e9)
      .default(10 * 2 ** 30)
      .describe("Size of the writable layer, bytes; it is thin."),
    maxTimeout: z
      .int()
      .min(1)
      .default(30 * 60)
      .describe("How far ahead a sandbox's end may lie, seconds."),
    sessionGrace: z
      .int()
      .min(1)
      .default(45)
      .describe("Silence after which the creating client counts as gone, seconds."),
  })
  .prefault({});

const pool = z
  .strictObject({
    size: z.int().min(0).max(256).default(2).describe("Restored, warmed clones kept ready. 0 turns the pool off."),
    standing: z
      .int()
      .min(0)
      .max(16)
      .default(1)
      .describe(
        "Clones kept ready besides, on the snapshots that were last used as `root`. 0 turns these off, as does a `size` of 0.",
      ),
    minFreeMemory: z
      .int()
      .min(0)
      .default(2048)
      .describe("The pool does not grow below this much free host memory, MiB."),
  })
  .prefault({});

const limits = z
  .strictObject({
    concurrentSandboxes: z.int().min(1).default(5).describe("Running sandboxes of one organisation."),
    developmentConcurrentSandboxes: z.int().min(1).default(64).describe("The same for the development organisation."),
    messageBytes: z
      .int()
      .min(65536)
      .default(100 * 2 ** 20)
      .describe("Largest WebSocket message taken from a client, bytes."),
    connectionsPerSandbox: z.int().min(1).default(128).describe("WebSocket connections to one sandbox."),
  })
  .prefault({});

const egress = z
  .strictObject({
    resolve: z
      .record(z.string(), z.string())
      .default({})
      .describe(
        "`name` or `name:port` to `address` or `address:port`: mirrors, air-gapped networks, tests. A mapped address may be internal.",
      ),
    allowRanges: z.array(z.string()).default([]).describe("Internal ranges (CIDR) that sandboxes may reach."),
    upstreamProxy: z
      .url({ protocol: /^http$/ })
      .optional()
      .describe("HTTP proxy for all outgoing connections."),
    extraCa: z.array(z.string()).default([]).describe("PEM files trusted for upstream certificates."),
    maxBytesOutPerHost: z
      .int()
      .min(0)
      .optional()
      .describe("Bytes that one sandbox may send to any one host in its life. Absent: no limit."),
    workers: z.int().min(1).max(64).default(1).describe("Proxy processes."),
    auditRetentionDays: z.int().min(1).default(30).describe("How long audit events are kept, days."),
  })
  .prefault({});

const domainName = /^(?=.{1,200}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

const gateway = z
  .strictObject({
    host: z
      .string()
      .default("127.0.0.1")
      .describe("Address on which exposed ports are served; the port is `httpsPort`."),
    domain: z
      .string()
      .regex(domainName, "must be a domain name in lower case, without a final dot")
      .default("localhost")
      .describe(
        "Exposed ports get names below it. Use it for nothing else: pages that nobody reviewed are served there.",
      ),
    publicPort: z
      .int()
      .min(1)
      .max(65535)
      .optional()
      .describe("Port in the addresses that clients get, when it is not the one listened on."),
    tls: z.boolean().default(true).describe("`false`: plain HTTP, for a proxy in front that ends TLS."),
    cert: z
      .string()
      .optional()
      .describe("PEM file, certificate chain for `*.<domain>`. Absent: an authority of this installation signs."),
    key: z.string().optional().describe("PEM file, private key of `gateway.cert`."),
    namesPerSandbox: z.int().min(1).default(16).describe("Names that one sandbox may hold."),
    connectionsPerSandbox: z
      .int()
      .min(1)
      .default(256)
      .describe("Requests and WebSockets from outside that are under way to one sandbox."),
  })
  .refine(
    (value) => (value.cert === undefined) === (value.key === undefined),
    "needs both `cert` and `key`, or neither",
  )
  .prefault({});

const volumes = z
  .strictObject({
    maxCount: z.int().min(0).default(200).describe("Volumes and snapshots of one organisation."),
    maxBytes: z.int().min(0).default(500e9).describe("Sum of the capacities of an organisation's volumes, bytes."),
    reclaimAfter: z
      .int()
      .min(0)
      .default(24 * 3600)
      .describe("Deleted volumes can be restored for this long, seconds."),
    minFreeDisk: z
      .int()
      .min(0)
      .default(2 * 2 ** 30)
      .describe("Nothing new is created below this much free disk, bytes."),
  })
  .prefault({});

export const configSchema = z.strictObject({
  host: z.string().default("127.0.0.1").describe("Address to listen on."),
  port: z.int().min(0).max(65535).default(8000).describe("HTTP port; 0 picks a free one. `CAISSON_PORT` wins."),
  httpsPort: z
    .int()
    .min(0)
    .max(65535)
    .default(8443)
    .describe("Port on which exposed ports of sandboxes are served; 0 picks a free one. `CAISSON_HTTPS_PORT` wins."),
  sshPort: z
    .int()
    .min(0)
    .max(65535)
    .default(2222)
    .describe("Port kept for the SSH gateway, which does not listen yet. `CAISSON_SSH_PORT` wins."),
  publicUrl: z.url().optional().describe("How clients reach this server, when not by host and port."),
  accelerator: z.enum(["auto", "kvm", "tcg"]).default("auto").describe("`auto` probes KVM by booting a small guest."),
  logLevel: z
    .enum(["trace", "debug", "info", "warn", "error"])
    .default("info")
    .describe("Least severe log line written."),
  sandbox,
  pool,
  limits,
  egress,
  gateway,
  volumes,
});

export type Config = z.infer<typeof configSchema>;

/** The configuration file `$CAISSON_HOME/config.json`: every key with its unit and default. Unknown keys are refused. */
import { z } from "zod";

const sandbox = z
  .strictObject({
    region: z
      .string()
      .regex(/^[a-z]{3}$/)
      .default("ord")
      .describe("Region code in every identifier that this server makes; three letters."),
    memoryMin: z.int().min(256).default(768).describe("Smallest memory of a sandbox, MiB."),
    memoryMax: z.int().min(256).max(65536).default(4096).describe("Largest memory of a sandbox, MiB."),
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

const pool = z
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

const limits = z
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

const egress = z
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
      .describe("PEM files with more certificate authorities to trust for upstream servers."),
    maxBytesOutPerHost: z
      .int()
      .min(0)
      .optional()
      .describe("Most bytes that one sandbox may send to one hostname in its life. Default: no limit."),
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

const certificatePair = (value: { cert?: string | undefined; key?: string | undefined }) =>
  (value.cert === undefined) === (value.key === undefined);
const connectionsPerAddress = z
  .int()
  .min(1)
  .default(1024)
  .describe(
    "Most connections of one client address at the same time; of a trusted proxy's clients, most requests and WebSockets. An IPv6 client counts with its whole /64 network.",
  );

const api = z
  .strictObject({
    cert: z
      .string()
      .optional()
      .describe(
        "PEM file with the certificate chain for TLS. The API then speaks HTTPS only. Changed files are read again.",
      ),
    key: z.string().optional().describe("PEM file with the private key of `api.cert`."),
    hosts: z
      .array(
        z
          .string()
          .toLowerCase()
          .regex(/^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)$/, "must be a hostname or an address, without port"),
      )
      .default([])
      .describe(
        "More hostnames under which clients may reach the API, without port. Always allowed are `localhost`, `127.0.0.1`, `[::1]`, the host of `publicUrl` and the address that a connection was made to.",
      ),
    metricsToken: z
      .string()
      .min(16)
      .optional()
      .describe("Bearer token for `/metrics`. Without it `/metrics` answers only on loopback and through no proxy."),
    connections: z
      .int()
      .min(2)
      .default(4096)
      .describe("Most connections to the API at the same time, from all addresses."),
    connectionsPerAddress,
    requestsPerAddress: z
      .int()
      .min(1)
      .default(100)
      .describe(
        "Most requests in a second without a valid token from one client address, on average. After a quiet time ten times as many may come at once.",
      ),
  })
  .refine(certificatePair, "needs both `cert` and `key`, or neither")
  .refine(
    (value) => value.connectionsPerAddress < value.connections,
    "`connectionsPerAddress` must be less than `connections`, so that one address cannot take them all",
  )
  .prefault({});

const domainName = /^(?=.{1,200}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** Connections that the gateway takes at the same time. */
export const gatewayConnections = 4096;

const gateway = z
  .strictObject({
    host: z
      .string()
      .default("127.0.0.1")
      .describe("Address on which the gateway serves exposed ports. Its port is `httpsPort`."),
    domain: z
      .string()
      .regex(domainName, "must be a domain name in lower case, without a final dot")
      .default("localhost")
      .describe(
        "Exposed ports get hostnames below this domain. Use the domain for nothing else: it serves pages that nobody reviewed.",
      ),
    publicPort: z
      .int()
      .min(1)
      .max(65535)
      .optional()
      .describe("Port in the addresses that clients get. Default: the port that the gateway listens on."),
    tls: z.boolean().default(true).describe("`false` serves plain HTTP, for a reverse proxy that terminates TLS."),
    cert: z
      .string()
      .optional()
      .describe(
        "PEM file with the certificate chain for `*.<domain>`. Default: certificates signed by this installation's own authority.",
      ),
    key: z.string().optional().describe("PEM file with the private key of `gateway.cert`."),
    namesPerSandbox: z.int().min(1).default(16).describe("Most hostnames that one sandbox can have."),
    connectionsPerSandbox: z
      .int()
      .min(1)
      .default(256)
      .describe("Most requests and WebSockets from outside that one sandbox can serve at the same time."),
    connectionsPerAddress,
  })
  .refine(certificatePair, "needs both `cert` and `key`, or neither")
  .refine(
    (value) => value.connectionsPerAddress < gatewayConnections,
    `\`connectionsPerAddress\` must be less than ${gatewayConnections}, so that one address cannot take all connections`,
  )
  .prefault({});

const volumes = z
  .strictObject({
    maxCount: z.int().min(0).default(200).describe("Most volumes and snapshots of one organisation."),
    maxBytes: z
      .int()
      .min(0)
      .default(500e9)
      .describe(
        "Most bytes that one organisation can store: the capacities of its volumes, and what the images of its snapshots and deleted volumes take.",
      ),
    reclaimAfter: z
      .int()
      .min(0)
      .default(24 * 3600)
      .describe("How long a deleted volume can be restored, seconds."),
    keepUnknownCopies: z
      .int()
      .min(0)
      .default(7 * 24 * 3600)
      .describe(
        "How long a copy of an image that belongs to no layer in the database is kept, seconds. After the restore of an older database it may be needed.",
      ),
    minFreeDisk: z
      .int()
      .min(0)
      .default(2 * 2 ** 30)
      .describe(
        "New volumes, snapshots and sandboxes with a root snapshot are refused while less disk space than this is free, bytes.",
      ),
  })
  .prefault({});

const database = z
  .strictObject({
    reserveBytes: z
      .int()
      .min(0)
      .default(16 * 2 ** 20)
      .describe(
        "Size of the file `caisson.reserve` beside the embedded database, bytes. When the disk is full, its space is used to record ends and deletions. 0: none.",
      ),
  })
  .prefault({});

const ssh = z
  .strictObject({
    enabled: z.boolean().default(true).describe("`false` turns SSH off."),
    host: z.string().default("127.0.0.1").describe("Address on which SSH is served. Its port is `sshPort`."),
    publicHost: z
      .string()
      .optional()
      .describe(
        "Hostname that clients get for SSH. Default: `gateway.domain` when it is not `localhost`, else `ssh.host`.",
      ),
    publicPort: z
      .int()
      .min(1)
      .max(65535)
      .optional()
      .describe("Port that clients get for SSH. Default: the port that the gateway listens on."),
  })
  .prefault({});

export const configSchema = z.strictObject({
  host: z.string().default("127.0.0.1").describe("Address on which the API listens."),
  port: z
    .int()
    .min(0)
    .max(65535)
    .default(8000)
    .describe("Port of the API; 0 picks a free one. `CAISSON_PORT` overrides it."),
  httpsPort: z
    .int()
    .min(0)
    .max(65535)
    .default(8443)
    .describe(
      "Port on which the gateway serves exposed ports of sandboxes; 0 picks a free one. `CAISSON_HTTPS_PORT` overrides it.",
    ),
  sshPort: z
    .int()
    .min(0)
    .max(65535)
    .default(2222)
    .describe("Port on which the gateway serves SSH; 0 picks a free one. `CAISSON_SSH_PORT` overrides it."),
  publicUrl: z
    .url()
    .optional()
    .describe("URL under which clients reach this server. Default: made from `host` and `port`."),
  trustedProxies: z
    .array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]))
    .default([])
    .describe(
      "Addresses or ranges (CIDR) of reverse proxies in front of the API or the gateway. From them, `X-Forwarded-For` names the client.",
    ),
  accelerator: z
    .enum(["auto", "kvm", "tcg"])
    .default("auto")
    .describe("`auto` uses KVM when a small test machine boots with it, and software emulation (`tcg`) otherwise."),
  allowWithoutCgroups: z
    .boolean()
    .default(false)
    .describe(
      "`true` starts the node also where it cannot use cgroups. Then nothing limits a sandbox's memory, swap, processor time and disk bandwidth: one sandbox can exhaust the host.",
    ),
  logLevel: z
    .enum(["trace", "debug", "info", "warn", "error"])
    .default("info")
    .describe("Lowest level of log lines that are written."),
  api,
  sandbox,
  pool,
  limits,
  egress,
  gateway,
  ssh,
  volumes,
  database,
});

export type Config = z.infer<typeof configSchema>;

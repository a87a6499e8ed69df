/** The ways in: the API, exposed ports, SSH. */
import { z } from "zod";

const certificatePair = (value: { cert?: string | undefined; key?: string | undefined }) =>
  (value.cert === undefined) === (value.key === undefined);
const connectionsPerAddress = z
  .int()
  .min(1)
  .default(1024)
  .describe(
    "Most connections of one client address at the same time; of a trusted proxy's clients, most requests and WebSockets. An IPv6 client counts with its whole /64 network.",
  );

const handshakesPerAddress = z
  .int()
  .min(1)
  .default(50)
  .describe(
    "Most TLS handshakes in a second from one client address, on average. After a quiet time ten times as many may come at once. More are cut before anything of them is computed. No limit for trusted proxies.",
  );

export const api = z
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
    handshakesPerAddress,
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

const acme = z
  .strictObject({
    directory: z
      .url()
      .default("https://acme-v02.api.letsencrypt.org/directory")
      .describe("Directory of the certificate authority (RFC 8555)."),
    directoryCa: z
      .string()
      .optional()
      .describe("PEM file with the authority to trust for `directory`, where it is none that the system knows."),
    email: z.email().optional().describe("Where the authority can reach you."),
    challenge: z
      .enum(["dns-01", "tls-alpn-01"])
      .describe(
        "`dns-01` proves the domain by a DNS record and gets certificates for `names`, also for `*`. `tls-alpn-01` needs port 443 and gets a certificate for each hostname that is visited: everybody can read these hostnames in public logs, so use it only where all addresses are protected or meant to be public.",
      ),
    dnsHook: z
      .string()
      .optional()
      .describe(
        "Program for `dns-01`. It is run as `<program> present|cleanup <record name> <value>`, and must end when the TXT record is visible, or removed.",
      ),
    names: z
      .array(
        z
          .string()
          .regex(
            /^(\*|(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*)$/,
            "must be a name left of `gateway.domain`, or begin with `*`",
          ),
      )
      .min(1)
      .default(["*"])
      .describe("Names left of `gateway.domain` that `dns-01` gets certificates for, such as `*` or `*.acme.app`."),
  })
  .refine((value) => value.challenge !== "dns-01" || value.dnsHook !== undefined, "`dns-01` needs `dnsHook`");

export const gateway = z
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
    acme: acme
      .optional()
      .describe("Gets certificates from a certificate authority by ACME, and renews them. Default: none."),
    http2: z.boolean().default(true).describe("`false` offers visitors HTTP/1.1 only. gRPC needs HTTP/2."),
    namesPerSandbox: z.int().min(1).default(16).describe("Most hostnames that one sandbox can have."),
    visitsPerMinute: z
      .int()
      .min(0)
      .default(600)
      .describe(
        "Most visits of one sandbox that are recorded one by one in a minute. The next recorded one counts the others.",
      ),
    visitsPerOrganisation: z
      .int()
      .min(0)
      .default(100_000)
      .describe("Most recorded visits of one organisation. The oldest are removed first."),
    visitRetentionDays: z.number().min(0).default(14).describe("Days after which recorded visits are removed."),
    connectionsPerSandbox: z
      .int()
      .min(1)
      .default(256)
      .describe(
        "Most requests and WebSockets from outside that one sandbox can serve at the same time. One client address can have three quarters of them.",
      ),
    connectionsPerAddress,
    handshakesPerAddress,
    requestsPerAddress: z
      .int()
      .min(1)
      .default(200)
      .describe(
        "Most requests in a second from one client address, on average. After a quiet time ten times as many may come at once.",
      ),
    requestsPerSandbox: z.int().min(1).default(500).describe("The same for all visitors of one sandbox together."),
  })
  .refine(certificatePair, "needs both `cert` and `key`, or neither")
  .refine(
    (value) => value.acme === undefined || (value.tls && value.cert === undefined && value.domain !== "localhost"),
    "`acme` needs `tls`, a `domain` of your own, and no `cert`",
  )
  .refine(
    (value) => value.connectionsPerAddress < gatewayConnections,
    `\`connectionsPerAddress\` must be less than ${gatewayConnections}, so that one address cannot take all connections`,
  )
  .prefault({});

export const ssh = z
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
    agentForwarding: z
      .boolean()
      .default(false)
      .describe(
        "`true` allows `ssh -A`. Whatever runs in the sandbox can then use the keys in the client's agent while the connection lasts.",
      ),
  })
  .prefault({});

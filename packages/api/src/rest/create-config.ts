/** The configuration of a new sandbox: the JSON in the header `x-deno-sandbox-config` (wire contract 2.2). */
import { z } from "zod";

const optional = <T extends z.ZodType>(schema: T) => schema.nullish();
const variableName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "is not the name of an environment variable")
  .max(128);
const variableValue = z
  .string()
  .max(131_072)
  .refine((value) => !value.includes("\0"), "contains a NUL character");

export const secretSchema = z.object({
  hosts: z
    .array(z.string().min(1).max(260))
    .min(1, "needs at least one host: name the hosts that may receive the secret")
    .max(64),
  value: z.string().min(1, "is empty").max(16_384),
  inBody: optional(z.boolean()),
  methods: optional(z.array(z.string().max(32)).max(16)),
  pathPrefixes: optional(z.array(z.string().startsWith("/").max(1024)).max(64)),
});

/** Exceptions from interception, by host: an addition of Caisson to the public contract. */
export const networkSchema = z
  .object({
    passThrough: optional(z.array(z.string().max(260)).max(64)).describe(
      "Hosts whose connections are passed through unread: for client certificates, pinned certificates and forward proxies. No secret can be for them.",
    ),
    authorities: optional(z.record(z.string().max(260), z.string().max(65_536))).describe(
      "By host: certificates (PEM) that are trusted for it in place of the public authorities, for private and self-signed ones.",
    ),
  })
  .meta({ id: "SandboxNetwork" });

export type SandboxNetwork = z.infer<typeof networkSchema>;

export const createConfigSchema = z
  .object({
    stop_at_ms: optional(z.int().describe("End of life, epoch milliseconds. Absent: see `timeout`.")),
    timeout: optional(z.string().describe("`session`, `<n>s` or `<n>m`. Absent: `session`.")),
    memory_mb: optional(z.int().describe("MiB.")),
    labels: optional(z.record(z.string(), z.string())),
    root: optional(z.union([z.string(), z.object({ volume: z.string() })])),
    volumes: optional(
      z.union([z.array(z.object({ volume: z.string(), path: z.string() })), z.record(z.string(), z.string())]),
    ),
    allow_net: optional(z.array(z.string().max(260)).max(1024)),
    network: optional(networkSchema),
    secrets: optional(z.record(variableName, secretSchema)),
    env: optional(z.record(variableName, variableValue)),
    region: optional(z.string()),
    ssh: optional(z.boolean()),
    port: optional(z.int().min(1).max(65535)),
  })
  .meta({ id: "CreateConfig" });

export type CreateConfig = z.infer<typeof createConfigSchema>;

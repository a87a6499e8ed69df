/** The configuration file `$CAISSON_HOME/config.json`: every key with its unit and default. Unknown keys are refused. */
import { z } from "zod";
import { apps } from "./apps.ts";
import { egress } from "./egress.ts";
import { api, gateway, ssh } from "./inward.ts";
import { limits } from "./limits.ts";
import { pool, sandbox, vscode } from "./machines.ts";
import { serving } from "./serving.ts";
import { database, volumes } from "./storage.ts";

export { gatewayConnections } from "./inward.ts";

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
  vscode,
  pool,
  limits,
  egress,
  gateway,
  ssh,
  volumes,
  apps,
  serving,
  database,
});

export type Config = z.infer<typeof configSchema>;

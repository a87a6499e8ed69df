/** Sandboxes over REST (wire contract 1.6). */
import { z } from "zod";

export const extendRequest = z
  .object({ stop_at_ms: z.int().describe("New end of life, epoch milliseconds.") })
  .meta({ id: "ExtendRequest" });
export const extendResponse = z
  .object({ stop_at_ms: z.int().describe("The end of life that was granted.") })
  .meta({ id: "ExtendResponse" });

export const exposeResponse = z
  .object({
    domain: z
      .string()
      .describe("Reserved name, with a port unless it is 443. `https://` in front of it is the address."),
  })
  .meta({ id: "ExposeResponse" });

export const exposeSshResponse = z
  .object({
    hostname: z.string(),
    username: z
      .string()
      .describe("The credential. Whoever has it can log in, unless the organisation has registered keys."),
    port: z.int(),
  })
  .meta({ id: "ExposeSshResponse" });

export const sshHostKey = z
  .object({
    hostname: z.string(),
    port: z.int(),
    publicKey: z.string().describe("As in `known_hosts`: type and base64."),
    fingerprint: z.string().describe("As OpenSSH prints it: `SHA256:...`."),
  })
  .meta({ id: "SshHostKey" });

export const sandboxSchema = z
  .object({
    id: z.string(),
    createdAt: z.iso.datetime(),
    stoppedAt: z.iso.datetime().nullable(),
    region: z.string(),
    status: z.enum(["running", "stopped"]),
    reason: z.string().nullable().describe("Why it ended, for people. Null while it runs."),
    labels: z.record(z.string(), z.string()),
  })
  .meta({ id: "Sandbox" });

export type ExtendRequest = z.infer<typeof extendRequest>;
export type ExtendResponse = z.infer<typeof extendResponse>;
export type ExposeResponse = z.infer<typeof exposeResponse>;
export type Sandbox = z.infer<typeof sandboxSchema>;

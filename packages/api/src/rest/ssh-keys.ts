/** Public keys that an organisation asks SSH clients for: an addition of Caisson to the public contract. */
import { z } from "zod";
import { text } from "../rpc/common.ts";

export const newSshKey = z
  .strictObject({
    name: text.min(1).max(100).describe("For people."),
    publicKey: z
      .string()
      .min(1)
      .max(4096)
      .describe("As in a `.pub` file: Ed25519, ECDSA, or RSA of 2048 to 8192 bits. A comment is not kept."),
  })
  .meta({ id: "NewSshKey" });

export const sshKey = z
  .object({
    id: z.string(),
    name: z.string(),
    publicKey: z.string().describe("Type and base64."),
    fingerprint: z.string().describe("As OpenSSH prints it: `SHA256:...`."),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: "SshKey" });

export type SshKeyInfo = z.infer<typeof sshKey>;

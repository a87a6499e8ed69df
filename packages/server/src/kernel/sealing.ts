/** Encryption at rest: AES-256-GCM with the key of this installation. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { CaissonError } from "@caisson/protocol";

const nonceBytes = 12;
const tagBytes = 16;

export interface Sealer {
  /** @param context what the value belongs to; a sealed value opens only under the same context, so rows cannot be swapped */
  seal(value: string, context: string): string;
  /** @throws CaissonError `internal` when key or context differ or the value was altered */
  open(sealed: string, context: string): string;
}

/** @param key 32 bytes */
export function createSealer(key: Buffer): Sealer {
  return {
    seal(value, context) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(context));
      return Buffer.concat([nonce, cipher.update(value, "utf8"), cipher.final(), cipher.getAuthTag()]).toString(
        "base64",
      );
    },
    open(sealed, context) {
      const bytes = Buffer.from(sealed, "base64");
      try {
        const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, nonceBytes), {
          authTagLength: tagBytes,
        });
        decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(-tagBytes));
        return Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]).toString(
          "utf8",
        );
      } catch (cause) {
        throw new CaissonError(
          "internal",
          "What is stored could not be decrypted: the key is not the one it was encrypted with, or it was altered.",
          { cause },
        );
      }
    },
  };
}

/** Encryption at rest: AES-256-GCM with the key of this installation. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { chmod, mkdir, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { CaissonError } from "@caisson/protocol";

const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

export interface Sealer {
  /** @param context what the value belongs to; a sealed value opens only under the same context, so rows cannot be swapped */
  seal(value: string, context: string): string;
  /** @throws CaissonError `internal` when key or context differ or the value was altered */
  open(sealed: string, context: string): string;
}

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

/**
 * `CAISSON_SECRET_KEY` (base64 of 32 bytes, for operators with a key service), else the key file, made on first use (mode 600).
 * @throws CaissonError `invalid_argument` when what is there is not a key
 */
export async function loadKey(path: string, env: NodeJS.ProcessEnv = process.env): Promise<Buffer> {
  const given = env["CAISSON_SECRET_KEY"];
  if (given !== undefined && given !== "") return decodeKey(given, "CAISSON_SECRET_KEY");
  try {
    return decodeKey(await readFile(path, "utf8"), path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const key = randomBytes(keyBytes);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(`${key.toString("base64")}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await chmod(path, 0o600);
  return key;
}

function decodeKey(text: string, source: string): Buffer {
  const key = Buffer.from(text.trim(), "base64");
  if (key.length !== keyBytes)
    throw new CaissonError("invalid_argument", `${source} must hold the base64 form of ${keyBytes} bytes.`);
  return key;
}

/** The key of an installation: `CAISSON_SECRET_KEY`, or the file `secret.key` in its home. What it encrypts cannot be read without it. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createFile } from "@caisson/linux";
import { CaissonError } from "@caisson/protocol";

const keyBytes = 32;

export interface KeyOptions {
  readonly home: string;
  /** Whether nothing was encrypted for this home yet. Only then a new key may be made. Asked only when there is no key. */
  readonly unused: () => Promise<boolean>;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Reads the key: 32 bytes. Makes `secret.key` (mode 600) on the first start.
 * @throws CaissonError `invalid_argument` when what is there is not a key; `invalid_state` when the key is missing and the database has
 *   rows that were encrypted with it
 */
export async function loadKey({ home, unused, env = process.env }: KeyOptions): Promise<Buffer> {
  const given = env["CAISSON_SECRET_KEY"];
  if (given !== undefined && given !== "")
    return decodeKey(given, `CAISSON_SECRET_KEY is not a key: it must be the base64 form of ${keyBytes} bytes.`);
  const path = join(home, "secret.key");
  const known = await read(path);
  if (known !== undefined) return known;
  if (!(await unused()))
    throw new CaissonError(
      "invalid_state",
      `${path} does not exist, but the database has rows that were encrypted with it. Restore the file from your backup, or set CAISSON_SECRET_KEY to its content. Without the key these rows cannot be read, so no new one is made.`,
    );
  const key = randomBytes(keyBytes);
  // Another process may have made one in the meantime.
  return (await createFile(path, `${key.toString("base64")}\n`)) ? key : (await read(path))!;
}

/** Undefined when there is no file. */
async function read(path: string): Promise<Buffer | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const state = text.trim() === "" ? "is empty" : "is damaged";
  return decodeKey(
    text,
    `${path} ${state}: it must hold the base64 form of ${keyBytes} bytes. Restore the file from your backup. If this installation was never used, delete the file and start again.`,
  );
}

function decodeKey(text: string, problem: string): Buffer {
  const trimmed = text.trim();
  const key = Buffer.from(trimmed, "base64");
  // `Buffer.from` skips what is not base64.
  if (key.length !== keyBytes || key.toString("base64") !== trimmed)
    throw new CaissonError("invalid_argument", problem);
  return key;
}

/** Looks for placeholders in bytes that are passed on unparsed, where none can be replaced. They are not secret, so nothing is held back. */
import { SecretRefused } from "./substitute.ts";
import type { Secret, Vault } from "./vault.ts";

export class PlaceholderWatch {
  readonly #vault: Vault;
  #tail: Buffer = Buffer.alloc(0);

  constructor(vault: Vault) {
    this.#vault = vault;
  }

  /** @returns why the bytes must not go on */
  judge(chunk: Buffer): SecretRefused | undefined {
    const { placeholders } = this.#vault;
    if (placeholders.empty) return undefined;
    const most = placeholders.longest - 1;
    const seam = this.#tail.length === 0 ? undefined : Buffer.concat([this.#tail, chunk.subarray(0, most)]);
    const found = (seam && placeholders.find(seam)) ?? placeholders.find(chunk);
    if (found !== undefined) return refusal(found.needle.tag.secret);
    const end = chunk.length >= most ? chunk : Buffer.concat([this.#tail, chunk]);
    this.#tail = Buffer.from(end.subarray(Math.max(0, end.length - most)));
    return undefined;
  }
}

const refusal = (secret: Secret): SecretRefused =>
  new SecretRefused(
    "secret-not-in-http",
    secret,
    "is used in a protocol other than HTTP, for example by a database, where it cannot be replaced. Give the sandbox a password of its own as a plain environment variable, for an account that may do little.",
  );

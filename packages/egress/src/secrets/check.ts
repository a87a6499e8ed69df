/** Refuses secrets that could not be protected. */
import { CaissonError, type SecretBinding } from "@caisson/protocol";

/** Bytes. Shorter values would be found everywhere by chance; longer ones do not fit into headers. */
const shortest = 5;
const longest = 16 * 1024;
const shortestPlaceholder = 16;

/** @throws CaissonError `invalid_argument` */
export function checkSecrets(secrets: readonly SecretBinding[]): void {
  const placeholders = new Set<string>();
  for (const { name, value, placeholder } of secrets) {
    const length = Buffer.byteLength(value);
    if (length < shortest || length > longest) {
      throw new CaissonError(
        "invalid_argument",
        `The secret ${name} has ${length} bytes. Secrets of ${shortest} to ${longest} bytes can be protected; a shorter one could not be told from ordinary text.`,
      );
    }
    if (!/^[A-Za-z0-9_.~-]+$/.test(placeholder) || placeholder.length < shortestPlaceholder) {
      throw new CaissonError(
        "invalid_argument",
        `The placeholder of ${name} must have at least ${shortestPlaceholder} characters from A-Z a-z 0-9 _ . ~ -.`,
      );
    }
    if (placeholders.has(placeholder))
      throw new CaissonError("invalid_argument", `Two secrets have the placeholder of ${name}.`);
    placeholders.add(placeholder);
  }
}

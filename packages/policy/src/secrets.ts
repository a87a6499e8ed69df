/** Refuses secrets that could not be protected. */
import { CaissonError, type SecretBinding } from "@caisson/protocol";
import { eachForm } from "./encoded-forms/forms.ts";

/** Bytes. Shorter values would be found everywhere by chance; longer ones do not fit into headers. */
const shortest = 5;
const longest = 16 * 1024;
const shortestPlaceholder = 16;
/** Of one sandbox. Everything that comes in is searched for each encoded form of each value, and the worker keeps all of them. */
const most = 64;
/** Bytes of all values of one sandbox. */
const longestTogether = 32 * 1024;

/** Bytes of all encoded forms: values full of special characters have hundreds, and each byte takes some twenty in the worker. */
const encodedTogether = 3 * 2 ** 20;
/** A beginning of so many bytes may not be one part of it, four times or more. */
const [repetition, times] = [256, 4];

/**
 * Two values, of which one repeats itself for long and the other is its beginning, would let an answer slow the search for both. Looks at
 * the shortest period of each beginning (Knuth, Morris and Pratt, "Fast pattern matching in strings", SIAM J. Comput. 6 (2), 1977).
 */
function repeatsItself(value: string): boolean {
  const bytes = Buffer.from(value);
  const borders = new Uint16Array(bytes.length + 1);
  for (let length = 1, border = 0; length < bytes.length; length++) {
    while (border > 0 && bytes[border] !== bytes[length]) border = borders[border]!;
    if (bytes[border] === bytes[length]) border++;
    borders[length + 1] = border;
    const period = length + 1 - border;
    if (length + 1 >= repetition && period * times <= length + 1) return true;
  }
  return false;
}

/** Stops as soon as there are too many. */
function encodedBytes(secrets: readonly SecretBinding[]): number {
  let sum = 0;
  for (const { value } of secrets)
    for (const { bytes } of eachForm(value)) if ((sum += bytes.length) > encodedTogether) return sum;
  return sum;
}

/** @throws CaissonError `invalid_argument` */
export function checkSecrets(secrets: readonly SecretBinding[]): void {
  if (secrets.length > most)
    throw new CaissonError("invalid_argument", `A sandbox can have at most ${most} secrets, not ${secrets.length}.`);
  const together = secrets.reduce((sum, { value }) => sum + Buffer.byteLength(value), 0);
  const placeholders = new Set<string>();
  for (const { name, value, placeholder } of secrets) {
    const length = Buffer.byteLength(value);
    if (length < shortest || length > longest) {
      throw new CaissonError(
        "invalid_argument",
        `The secret ${name} has ${length} bytes. Use ${shortest} to ${longest} bytes: a shorter value cannot be distinguished from ordinary text.`,
      );
    }
    // An unpaired surrogate has no form in UTF-8 nor in a URL, so the worker could not search for it.
    if (!value.isWellFormed()) {
      throw new CaissonError(
        "invalid_argument",
        `The value of the secret ${name} is not valid Unicode (unpaired surrogate). Give binary data as Base64 or in hexadecimal.`,
      );
    }
    if (repeatsItself(value)) {
      throw new CaissonError(
        "invalid_argument",
        `The value of the secret ${name} repeats the same pattern for ${repetition} bytes or more. Give the key without padding.`,
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
  if (together > longestTogether) {
    throw new CaissonError(
      "invalid_argument",
      `The secrets of the sandbox have ${together} bytes in all; the limit is ${longestTogether}. Of a long file, make only the key in it a secret.`,
    );
  }
  if (encodedBytes(secrets) > encodedTogether) {
    throw new CaissonError(
      "invalid_argument",
      "The secrets contain too many special characters. Their encoded forms take more than 3 MiB, the limit for redaction. Use fewer or shorter secrets.",
    );
  }
}

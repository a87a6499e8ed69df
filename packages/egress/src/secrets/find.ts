/** Finds placeholders in what a guest wants to send, also in their encoded forms. */
import type { Secret, Vault } from "./vault.ts";

/** Encodings inside encodings are followed this far. */
const rounds = 4;

/** Every secret whose placeholder is in one of the texts (latin1, as on the wire). */
export function findPlaceholders(vault: Vault, texts: readonly string[]): Set<Secret> {
  const found = new Set<Secret>();
  if (vault.placeholders.empty) return found;
  let text = texts.join("\n");
  for (let round = 0; round < rounds; round++) {
    collect(vault, text, found);
    const decoded = unescape(text);
    if (decoded === text) break;
    text = decoded;
  }
  return found;
}

function collect(vault: Vault, text: string, found: Set<Secret>): void {
  const data = Buffer.from(text, "latin1");
  let from = 0;
  for (;;) {
    const match = vault.placeholders.find(data, from);
    if (match === undefined) return;
    found.add(match.needle.tag.secret);
    from = match.start + 1;
  }
}

/** One layer of percent, JSON and HTML character escapes off; what is no escape stays. */
function unescape(text: string): string {
  if (!/[%\\&]/.test(text)) return text;
  return text
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replace(/\\u00([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replace(/\\x([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replace(/&#x([0-9a-f]{1,4});/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16) & 0xff))
    .replace(/&#([0-9]{1,4});/g, (_, digits: string) => String.fromCharCode(Number(digits) & 0xff));
}

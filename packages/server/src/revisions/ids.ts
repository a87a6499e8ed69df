import { randomBytes } from "node:crypto";

/** Without i, l and o, which people confuse with digits. */
const alphabet = "0123456789abcdefghjkmnpqrstuvwxyz";

/** 12 characters, 60 bits. Begins with a letter: it is part of hostnames and must not look like a number to anybody. */
export function newRevisionId(): string {
  let text = "";
  while (text.length < 12) {
    for (const byte of randomBytes(24)) {
      // 231 = 7 * 33: larger bytes would favour the first letters.
      if (byte >= 231 || text.length === 12) continue;
      const character = alphabet[byte % alphabet.length]!;
      if (text.length > 0 || character >= "a") text += character;
    }
  }
  return text;
}

export function isRevisionId(text: string): boolean {
  return /^[a-z][a-z0-9]{11}$/.test(text);
}

import { randomBytes } from "node:crypto";

const base32 = "abcdefghijklmnopqrstuvwxyz234567";
const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** Random characters, 5.95 bits each, that need no escaping in URLs, JSON, shells or headers. */
export function randomText(length: number): string {
  let text = "";
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      // 248 = 4 * 62: larger bytes would favour the first characters.
      if (byte < 248 && text.length < length) text += base62[byte % base62.length];
    }
  }
  return text;
}

/** 32 characters, 5 bits each: nobody guesses one. Valid as a DNS label, and in one case. */
export function randomLabel(): string {
  return Array.from(randomBytes(32), (byte) => base32[byte & 31]).join("");
}

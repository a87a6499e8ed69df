/** The spellings in which a key may be worth stealing, for hosts that echo it and for tests that look for it. */

const hex = (byte: number): string => byte.toString(16).padStart(2, "0");
const each = (text: string, write: (byte: number) => string): string => Array.from(Buffer.from(text), write).join("");
const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** Ways to write a text, by name. */
export const spellings: Readonly<Record<string, (text: string) => string>> = {
  plain: (text) => text,
  base64: base64,
  "base64-after-one": (text) => base64(`u${text}`),
  "base64-after-two": (text) => base64(`u:${text}`),
  "base64-before": (text) => base64(`${text}:suffix`),
  "base64-url": (text) => Buffer.from(`??>${text}`).toString("base64url"),
  percent: encodeURIComponent,
  "percent-lower": (text) => encodeURIComponent(text).replace(/%../g, (match) => match.toLowerCase()),
  "percent-all": (text) => each(text, (byte) => `%${hex(byte).toUpperCase()}`),
  "percent-twice": (text) => encodeURIComponent(encodeURIComponent(text)),
  json: (text) => JSON.stringify(text),
  "json-slashes": (text) => JSON.stringify(text).replaceAll("/", "\\/"),
  "json-all": (text) => `"${each(text, (byte) => `\\u00${hex(byte)}`)}"`,
  "json-in-json": (text) => JSON.stringify(JSON.stringify({ key: text })),
  html: (text) => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`),
  hex: (text) => each(text, hex),
  "hex-upper": (text) => each(text, hex).toUpperCase(),
  "hex-escaped": (text) => each(text, (byte) => `\\x${hex(byte)}`),
  twice: (text) => `${text}${text}`,
};

/** Where `text` holds `key` in any spelling, the spelling's name. Base64 is found at every alignment. */
export function spellingFound(text: string, key: string): string | undefined {
  for (const [name, write] of Object.entries(spellings)) if (text.includes(strip(write(key)))) return name;
  for (const before of [0, 1, 2]) {
    const core = Buffer.concat([Buffer.alloc(before), Buffer.from(key)])
      .toString("base64")
      .slice(before === 0 ? 0 : before + 1, Math.floor(((before + key.length) * 8) / 6));
    if (text.includes(core) || text.includes(core.replaceAll("+", "-").replaceAll("/", "_"))) return "base64";
  }
  return undefined;
}

/** Quotes around a JSON string are not part of the key. */
function strip(text: string): string {
  return text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}

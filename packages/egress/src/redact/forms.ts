/** The spellings of a value that common software makes without meaning to hide it. */

export type FormName = "plain" | "percent" | "json" | "html" | "hex" | "base64";

export interface Form {
  readonly name: FormName;
  readonly bytes: Buffer;
  /** Writes another text in the same spelling, so that what surrounds it stays readable. */
  readonly write: (text: string) => string;
}

/** Shorter spellings would be found by chance in ordinary data. */
export const shortestForm = 5;

type Writer = (text: string) => string;

const everyByte = (text: string, write: (byte: number) => string): string =>
  Array.from(Buffer.from(text), write).join("");
const everyUnit = (text: string, write: (unit: number) => string): string =>
  Array.from({ length: text.length }, (_, index) => write(text.charCodeAt(index))).join("");
const hex2 = (byte: number): string => byte.toString(16).padStart(2, "0");
const hex4 = (unit: number): string => unit.toString(16).padStart(4, "0");
const lowerPercent: (text: string) => string = (text) => text.replace(/%[0-9A-F]{2}/g, (match) => match.toLowerCase());
/** What RFC 3986 2.3 leaves alone; `encodeURIComponent` leaves a few more. */
const strictPercent: Writer = (text) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${hex2(char.charCodeAt(0)).toUpperCase()}`);
const json: Writer = (text) => JSON.stringify(text).slice(1, -1);
const asciiJson: Writer = (text) => json(text).replace(/[\u0080-\uffff]/g, (char) => `\\u${hex4(char.charCodeAt(0))}`);
const htmlEntities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

const writers: readonly [FormName, Writer][] = [
  ["plain", (text) => text],
  ["percent", (text) => encodeURIComponent(text)],
  ["percent", (text) => lowerPercent(encodeURIComponent(text))],
  ["percent", strictPercent],
  ["percent", (text) => lowerPercent(strictPercent(text))],
  ["percent", (text) => strictPercent(text).replaceAll("%20", "+")],
  ["percent", (text) => everyByte(text, (byte) => `%${hex2(byte)}`)],
  ["percent", (text) => everyByte(text, (byte) => `%${hex2(byte).toUpperCase()}`)],
  // Twice, as when a URL travels inside a URL.
  ["percent", (text) => encodeURIComponent(encodeURIComponent(text))],
  ["json", json],
  ["json", asciiJson],
  ["json", (text) => asciiJson(text).replaceAll("/", "\\/")],
  // A JSON document inside a JSON string.
  ["json", (text) => json(json(text))],
  // What serialisers that guard against HTML do (Go, PHP, Rails).
  ["json", (text) => asciiJson(text).replace(/[<>&'+=]/g, (char) => `\\u${hex4(char.charCodeAt(0))}`)],
  ["json", (text) => asciiJson(text).replace(/[<>&'+=]/g, (char) => `\\u${hex4(char.charCodeAt(0)).toUpperCase()}`)],
  ["json", (text) => everyUnit(text, (unit) => `\\u${hex4(unit)}`)],
  ["json", (text) => everyUnit(text, (unit) => `\\u${hex4(unit).toUpperCase()}`)],
  ["html", (text) => text.replace(/[&<>"']/g, (char) => htmlEntities[char]!)],
  [
    "html",
    (text) =>
      text.replace(/[&<>"']/g, (char) => (char === "'" ? "&#x27;" : char === '"' ? "&#34;" : htmlEntities[char]!)),
  ],
  ["html", (text) => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)],
  ["html", (text) => text.replace(/[&<>"']/g, (char) => `&#x${hex2(char.charCodeAt(0))};`)],
  // What Go's html/template writes.
  [
    "html",
    (text) =>
      text.replace(/[&<>"'+]/g, (char) => (/["'+]/.test(char) ? `&#${char.charCodeAt(0)};` : htmlEntities[char]!)),
  ],
  ["hex", (text) => everyByte(text, hex2)],
  ["hex", (text) => everyByte(text, hex2).toUpperCase()],
  ["hex", (text) => everyByte(text, (byte) => `\\x${hex2(byte)}`)],
];

/** Every form of `value`, each spelling once. */
export function formsOf(value: string): Form[] {
  const forms = new Map<string, Form>();
  const add = (name: FormName, spelling: string, write: Writer): void => {
    if (spelling.length < shortestForm && name !== "plain") return;
    if (!forms.has(spelling)) forms.set(spelling, { name, bytes: Buffer.from(spelling), write });
  };
  for (const [name, write] of writers) add(name, write(value), write);
  const length = Buffer.byteLength(value);
  for (const before of [0, 1, 2] as const) {
    add("base64", base64Core(value, before), (text) => base64Core(fitted(text, before, length), before));
    add("base64", urlSafe(base64Core(value, before)), (text) =>
      urlSafe(base64Core(fitted(text, before, length), before)),
    );
  }
  return [...forms.values()];
}

const urlSafe = (text: string): string => text.replaceAll("+", "-").replaceAll("/", "_");

/** The characters of Base64 that `text` alone decides when `before` bytes (modulo 3) stand before it. */
function base64Core(text: string, before: 0 | 1 | 2): string {
  const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(text)]);
  const whole = Math.floor((bytes.length * 8) / 6);
  return bytes.toString("base64").slice(Math.ceil((before * 8) / 6), whole);
}

/**
 * Pads a replacement so that what follows it in the Base64 text keeps its alignment, and so that the characters at the
 * borders, which also carry bits of the neighbours, fall on padding instead of on the replacement.
 */
function fitted(text: string, before: number, replacedLength: number): string {
  let padded = before === 0 ? text : `0${text}`;
  if ((before + replacedLength) % 3 !== 0) padded += ".";
  while ((Buffer.byteLength(padded) - replacedLength) % 3 !== 0) padded += ".";
  return padded;
}

/** The encoded forms of a value that common software makes without meaning to hide it. */
import { base64Writers } from "./base64.ts";
import { htmlWriters } from "./html.ts";
import { everyUnit, inSingleQuotes, jsonInJson, jsonWriters, specialsAsBytes } from "./json.ts";
import { hex2, percentTwice, percentWriters } from "./percent.ts";
import { byByte, type Writer } from "./writer.ts";

export type FormName = "plain" | "one-size" | "percent" | "json" | "html" | "hex" | "base64" | "utf16";

export interface Form {
  readonly name: FormName;
  readonly bytes: Buffer;
  /** Writes another text in the same form, so that what surrounds it stays readable. */
  readonly write: (text: string) => Buffer;
}

/** Shorter forms would be found by chance in ordinary data. */
export const shortestForm = 5;

const hexWriters: readonly Writer[] = [
  byByte(hex2),
  byByte((byte) => hex2(byte).toUpperCase()),
  byByte((byte) => `\\x${hex2(byte)}`),
  byByte((byte) => `\\x${hex2(byte).toUpperCase()}`),
];
/** What is left of a value that is hexadecimal, or has letters of one size only. */
const ofOneSize: readonly Writer[] = [(text) => text.toLowerCase(), (text) => text.toUpperCase()];

const writers: readonly [FormName, readonly Writer[]][] = [
  ["plain", [(text) => text]],
  ["one-size", ofOneSize],
  ["percent", percentWriters],
  ["percent", percentWriters.map(percentTwice)],
  ["json", jsonWriters],
  ["json", jsonWriters.map(jsonInJson)],
  ["json", [inSingleQuotes, everyUnit("lower"), everyUnit("upper"), ...specialsAsBytes]],
  ["html", htmlWriters],
  ["hex", hexWriters],
];

/** Every form of `value`, each once, one after the other: there may be hundreds, too many to keep. */
export function* eachForm(value: string): Generator<Form> {
  const seen = new Set<string>();
  for (const [name, write] of allWriters(value)) {
    const bytes = write(value);
    if (bytes.length < shortestForm && name !== "plain") continue;
    const encoded = bytes.toString("latin1");
    if (seen.has(encoded)) continue;
    seen.add(encoded);
    yield { name, bytes, write };
  }
}

function* allWriters(value: string): Generator<[FormName, Form["write"]]> {
  for (const [name, of] of writers) for (const write of of) yield [name, (text) => Buffer.from(write(text))];
  for (const write of base64Writers(value)) yield ["base64", (text) => Buffer.from(write(text))];
  yield ["utf16", (text) => Buffer.from(text, "utf16le")];
  yield ["utf16", (text) => Buffer.from(text, "utf16le").swap16()];
}

export function formsOf(value: string): Form[] {
  return [...eachForm(value)];
}

/** The spellings of a value that common software makes without meaning to hide it. */
import { base64Writers } from "./spelling/base64.ts";
import { htmlWriters } from "./spelling/html.ts";
import { everyUnit, inSingleQuotes, jsonInJson, jsonWriters, signsAsBytes } from "./spelling/json.ts";
import { hex2, percentTwice, percentWriters } from "./spelling/percent.ts";
import { byByte, type Writer } from "./spelling/writer.ts";

export type FormName = "plain" | "one-size" | "percent" | "json" | "html" | "hex" | "base64" | "utf16";

export interface Form {
  readonly name: FormName;
  readonly bytes: Buffer;
  /** Writes another text in the same spelling, so that what surrounds it stays readable. */
  readonly write: (text: string) => Buffer;
}

/** Shorter spellings would be found by chance in ordinary data. */
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
  ["json", [inSingleQuotes, everyUnit("lower"), everyUnit("upper"), ...signsAsBytes]],
  ["html", htmlWriters],
  ["hex", hexWriters],
];

/** Every form of `value`, each spelling once, one after the other: there may be hundreds, and more than one wants to keep. */
export function* eachForm(value: string): Generator<Form> {
  const seen = new Set<string>();
  for (const [name, write] of allWriters(value)) {
    const bytes = write(value);
    if (bytes.length < shortestForm && name !== "plain") continue;
    const spelling = bytes.toString("latin1");
    if (seen.has(spelling)) continue;
    seen.add(spelling);
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

/** The spellings of a value that common software makes without meaning to hide it. */
import { base64Writers } from "./spelling/base64.ts";
import { htmlWriters } from "./spelling/html.ts";
import { everyUnit, inSingleQuotes, jsonInJson, jsonWriters } from "./spelling/json.ts";
import { everyByte, hex2, percentTwice, percentWriters } from "./spelling/percent.ts";
import type { Writer } from "./spelling/writer.ts";

export type FormName = "plain" | "percent" | "json" | "html" | "hex" | "base64" | "utf16";

export interface Form {
  readonly name: FormName;
  readonly bytes: Buffer;
  /** Writes another text in the same spelling, so that what surrounds it stays readable. */
  readonly write: (text: string) => Buffer;
}

/** Shorter spellings would be found by chance in ordinary data. */
export const shortestForm = 5;

const hexWriters: readonly Writer[] = [
  (text) => everyByte(text, hex2),
  (text) => everyByte(text, hex2).toUpperCase(),
  (text) => everyByte(text, (byte) => `\\x${hex2(byte)}`),
  (text) => everyByte(text, (byte) => `\\x${hex2(byte).toUpperCase()}`),
];

const writers: readonly [FormName, readonly Writer[]][] = [
  ["plain", [(text) => text]],
  ["percent", percentWriters],
  ["percent", percentWriters.map(percentTwice)],
  ["json", jsonWriters],
  ["json", jsonWriters.map(jsonInJson)],
  ["json", [inSingleQuotes, everyUnit("lower"), everyUnit("upper")]],
  ["html", htmlWriters],
  ["hex", hexWriters],
];

/** Every form of `value`, each spelling once. */
export function formsOf(value: string): Form[] {
  const forms = new Map<string, Form>();
  const add = (name: FormName, write: Form["write"]): void => {
    const bytes = write(value);
    if (bytes.length < shortestForm && name !== "plain") return;
    const spelling = bytes.toString("latin1");
    if (!forms.has(spelling)) forms.set(spelling, { name, bytes, write });
  };
  for (const [name, of] of writers) for (const write of of) add(name, (text) => Buffer.from(write(text)));
  for (const write of base64Writers(value)) add("base64", (text) => Buffer.from(write(text)));
  add("utf16", (text) => Buffer.from(text, "utf16le"));
  add("utf16", (text) => Buffer.from(text, "utf16le").swap16());
  return [...forms.values()];
}

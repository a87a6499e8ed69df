/** Strings of JSON (RFC 8259 7): what must be escaped is escaped alike by all, what may be is up to each serialiser. */
import type { Writer } from "./writer.ts";

type Letters = "lower" | "upper";

const unicode = (unit: number, letters: Letters): string => {
  const hex = unit.toString(16).padStart(4, "0");
  return `\\u${letters === "lower" ? hex : hex.toUpperCase()}`;
};
const units = (text: string, write: (char: string) => string): string =>
  Array.from({ length: text.length }, (_, index) => write(text[index]!)).join("");

/** Signs that are written as `\uXXXX` although they need not be. */
const guarded: readonly string[] = [
  "",
  // Go, Rails.
  "<>&",
  // PHP with `JSON_HEX_TAG` and `JSON_HEX_AMP`, and with all of its flags.
  "<>&'",
  "<>&'\"",
  // Gson.
  "<>&'=",
  // System.Text.Json.
  "<>&'+\"`",
  "<>&'+=",
];

function json(guards: string, slash: "/" | "\\/", beyondAscii: "raw" | "escaped", letters: Letters): Writer {
  const write = (char: string): string => {
    if (guards.includes(char) || (beyondAscii === "escaped" && char > "\x7f"))
      return unicode(char.charCodeAt(0), letters);
    return char === "/" ? slash : JSON.stringify(char).slice(1, -1);
  };
  // Unit by unit a pair of surrogates would be taken apart, which `JSON.stringify` then escapes.
  return (text) => (beyondAscii === "escaped" ? units(text, write) : Array.from(text, (char) => write(char)).join(""));
}

export const jsonWriters: readonly Writer[] = guarded.flatMap((guards) =>
  (["/", "\\/"] as const).flatMap((slash) =>
    (["raw", "escaped"] as const).flatMap((beyondAscii) =>
      (["lower", "upper"] as const).map((letters) => json(guards, slash, beyondAscii, letters)),
    ),
  ),
);

/** What languages print of a string when they choose single quotes for it. */
export const inSingleQuotes: Writer = (text) => text.replace(/[\\']/g, "\\$&").replaceAll("\n", "\\n");

/** A document inside a string. */
export const jsonInJson =
  (write: Writer): Writer =>
  (text) =>
    JSON.stringify(write(text)).slice(1, -1);

/** Every character as `\uXXXX`. */
export const everyUnit =
  (letters: Letters): Writer =>
  (text) =>
    units(text, (char) => unicode(char.charCodeAt(0), letters));

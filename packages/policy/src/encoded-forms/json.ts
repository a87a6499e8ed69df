/** Strings of JSON (RFC 8259 7): what must be escaped is escaped alike by all, what may be is up to each serialiser. */
import { byCharacter, type Writer } from "./writer.ts";

type Letters = "lower" | "upper";

const unicode = (unit: number, letters: Letters): string => {
  const hex = unit.toString(16).padStart(4, "0");
  return `\\u${letters === "lower" ? hex : hex.toUpperCase()}`;
};
/** Signs that are written as `\uXXXX` although they need not be. */
const guarded: readonly string[] = [
  "",
  // devalue, serialize-javascript.
  "<",
  "<>/",
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
  // Django's `escapejs`, and templates that leave letters, digits and a few others (Twig, Laminas, ESAPI).
  "\\'\"<>&=-;`",
  "!\"#$%&'()*+-/:;<=>?@[\\]^`{|}~ ",
];

/** Both halves of a pair of surrogates, each by itself. */
const escaped = (char: string, letters: Letters): string =>
  char.split("").reduce((text, unit) => text + unicode(unit.charCodeAt(0), letters), "");

function json(guards: string, slash: "/" | "\\/", beyondAscii: "raw" | "escaped", letters: Letters): Writer {
  return byCharacter((char) => {
    if (guards.includes(char) || (beyondAscii === "escaped" && char > "\x7f")) return escaped(char, letters);
    return char === "/" ? slash : JSON.stringify(char).slice(1, -1);
  });
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
export const everyUnit = (letters: Letters): Writer => byCharacter((char) => escaped(char, letters));

/** The same templates' other way to write a character: `\xXX`. */
export const specialsAsBytes: readonly Writer[] = (["lower", "upper"] as const).map((letters) =>
  byCharacter((char) => {
    if (/[A-Za-z0-9,._]/.test(char) || char > "\x7f") return char;
    const hex = char.charCodeAt(0).toString(16).padStart(2, "0");
    return `\\x${letters === "lower" ? hex : hex.toUpperCase()}`;
  }),
);

/** Base64 (RFC 4648) of a value that may be anywhere in the encoded data. */
import type { Writer } from "./writer.ts";

type Alignment = 0 | 1 | 2;

/** The two alphabets, and how the special characters of the first are written inside JSON and inside URLs. */
const alphabets: readonly Writer[] = [
  (text) => text,
  (text) => text.replaceAll("+", "-").replaceAll("/", "_"),
  (text) => text.replaceAll("/", "\\/"),
  (text) => text.replaceAll("+", "%2B").replaceAll("/", "%2F"),
  (text) => text.replaceAll("+", "%2b").replaceAll("/", "%2f"),
];

/** Writers for texts in the place of `value`. */
export function base64Writers(value: string): Writer[] {
  const length = Buffer.byteLength(value);
  return ([0, 1, 2] as const).flatMap((before) =>
    alphabets.map(
      (dress): Writer =>
        (text) =>
          dress(core(text === value ? value : fitted(text, before, length), before)),
    ),
  );
}

/** The characters of Base64 that `text` alone decides when `before` bytes (modulo 3) come before it. */
function core(text: string, before: Alignment): string {
  const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(text)]);
  const whole = Math.floor((bytes.length * 8) / 6);
  return bytes.toString("base64").slice(Math.ceil((before * 8) / 6), whole);
}

/**
 * Pads a replacement so that what follows it in the Base64 text keeps its alignment, and so that the characters at the
 * borders, which also carry bits of the neighbours, fall on padding instead of on the replacement.
 */
function fitted(text: string, before: Alignment, replacedLength: number): string {
  let padded = before === 0 ? text : `0${text}`;
  if ((before + replacedLength) % 3 !== 0) padded += ".";
  while ((Buffer.byteLength(padded) - replacedLength) % 3 !== 0) padded += ".";
  return padded;
}

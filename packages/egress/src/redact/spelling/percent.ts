/** Percent-encoding (RFC 3986 2.1): libraries agree on how it is written, not on what is left as it is. */
import type { Writer } from "./writer.ts";

export const hex2 = (byte: number): string => byte.toString(16).padStart(2, "0");
export const everyByte = (text: string, write: (byte: number) => string): string =>
  Array.from(Buffer.from(text), write).join("");

/** What is left of the signs in ASCII, beside letters and digits. */
const leaves: readonly string[] = [
  // RFC 3986: `rawurlencode`, Go's `QueryEscape`, .NET's `EscapeDataString`.
  "-._~",
  // `encodeURIComponent`.
  "!'()*-._~",
  // Forms of HTML: `URLSearchParams`, Java's `URLEncoder`.
  "*-._",
  // PHP's `urlencode`.
  "-._",
  // Python's `quote`.
  "-._~/",
  // .NET's `UrlEncode`.
  "!()*-._",
  // Go's `PathEscape`, and paths in its URLs.
  "$&+-.:=@_~",
  "$&+,-./:;=@_~",
  // `encodeURI`.
  "!#$&'()*+,-./:;=?@_~",
  // The `escape` of old.
  "*+-./@_",
  // User information, path (without and with a newer rule), query and fragment of a URL as browsers write it.
  "!$%&'()*+,-._~",
  "!$%&'()*+,-./:;=@[\\]^_|~",
  "!$%&'()*+,-./:;=@[\\]_|~",
  "!$%&()*+,-./:;=?@[\\]^_`{|}~",
  "!#$%&'()*+,-./:;=?@[\\]^_{|}~",
  // Nothing at all.
  "",
];

function percent(left: string, letters: "lower" | "upper", blank: "%20" | "+"): Writer {
  const stays = new RegExp(`[A-Za-z0-9${left.replace(/[\\\]^-]/g, "\\$&")}]`);
  const encode = (byte: number): string => `%${letters === "lower" ? hex2(byte) : hex2(byte).toUpperCase()}`;
  return (text) =>
    everyByte(text, (byte) => {
      const char = String.fromCharCode(byte);
      return char === " " && blank === "+" ? "+" : stays.test(char) ? char : encode(byte);
    });
}

const everything = (letters: "lower" | "upper"): Writer => {
  const escape = (byte: number): string => `%${letters === "lower" ? hex2(byte) : hex2(byte).toUpperCase()}`;
  return (text) => everyByte(text, escape);
};

export const percentWriters: readonly Writer[] = [
  ...leaves.flatMap((left) =>
    (["upper", "lower"] as const).flatMap((letters) =>
      (["%20", "+"] as const).map((blank) => percent(left, letters, blank)),
    ),
  ),
  everything("upper"),
  everything("lower"),
];

/** Once more, as when a URL travels inside a URL. */
export const percentTwice =
  (write: Writer): Writer =>
  (text) =>
    encodeURIComponent(write(text));

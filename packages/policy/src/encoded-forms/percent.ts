/** Percent-encoding (RFC 3986 2.1): libraries agree on how it is written, not on what is left as it is. */
import { byByte, type Writer } from "./writer.ts";

export const hex2 = (byte: number): string => byte.toString(16).padStart(2, "0");

/** The special characters that are not encoded, besides letters and digits. */
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
  // User information in Go's URLs.
  "$&+,-.;=_~",
  // Nothing at all.
  "",
];

type Letters = "lower" | "upper";
const encode = (byte: number, letters: Letters): string =>
  `%${letters === "lower" ? hex2(byte) : hex2(byte).toUpperCase()}`;

function percent(left: string, letters: Letters, blank: "%20" | "+"): Writer {
  return byByte((byte) => {
    const char = String.fromCharCode(byte);
    if (char === " " && blank === "+") return "+";
    return /[A-Za-z0-9]/.test(char) || left.includes(char) ? char : encode(byte, letters);
  });
}

export const percentWriters: readonly Writer[] = [
  ...leaves.flatMap((left) =>
    (["upper", "lower"] as const).flatMap((letters) =>
      (["%20", "+"] as const).map((blank) => percent(left, letters, blank)),
    ),
  ),
  byByte((byte) => encode(byte, "upper")),
  byByte((byte) => encode(byte, "lower")),
];

/** Once more, as when a URL travels inside a URL. */
export const percentTwice =
  (write: Writer): Writer =>
  (text) =>
    encodeURIComponent(write(text));

/**
 * Decides whether a connection begins with a request line. In doubt it is HTTP: what some lenient server could accept as a request goes to
 * the strict parser, because in a tunnel that server would read a `Host` that nobody has checked.
 */

/** Bytes of a line that does not end, from which on it is no other protocol's either; the parser will say so. */
const longestLine = 16 * 1024;
/** Bytes of blank lines, which servers skip. */
const longestBlank = 256;

/** What the languages that servers are written in take for a space (Python's `split`, for one): no line feed. */
const isSpace = (byte: number): boolean =>
  byte === 9 || (byte >= 11 && byte <= 13) || (byte >= 28 && byte <= 32) || byte === 0x85 || byte === 0xa0;
const isControl = (byte: number): boolean => byte < 9 || (byte >= 14 && byte <= 27) || byte === 127;
const isBlank = (byte: number): boolean => byte === 10 || isSpace(byte);
/** Of a method (RFC 9110 5.6.2), in any case and of any length: Go's server, for one, minds neither. */
const isToken = (byte: number): boolean => /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(byte));

const space = "[\\t\\x0b-\\r\\x1c-\\x20\\x85\\xa0]+";
/** A version anywhere in the line. The parser in Node takes requests of RTSP and ICE too. */
const withVersion = /(?:HTTP|RTSP|ICE)\/[0-9]/i;
/**
 * Without one it is HTTP/0.9, to which a `Host` does not belong; but Node's server and Python's read it. They want methods in capitals
 * there, which distinguishes them from memcached, where `get /key` is a command. NATS begins with `CONNECT {`.
 */
const withoutVersion = new RegExp(
  `^(?:[A-Z0-9_-]+${space}(?:[/*]|https?:)|(?:GET|POST)${space}[^\\s\\x85]|CONNECT${space}[^\\s\\x85{])`,
);

/** @param line without its end, blank lines before it left out */
export function looksLikeRequest(line: string): boolean {
  return withVersion.test(line) || withoutVersion.test(line);
}

export class RequestLineReader {
  /** Bytes that were looked at. */
  #at = 0;
  #start = 0;
  #in: "blank" | "method" | "line" = "blank";

  /** @param bytes all that has come so far; at each call those of the call before and more */
  read(bytes: Buffer): "more" | "http1" | "other" | "endless-blank" {
    for (; this.#in !== "line" && this.#at < bytes.length; this.#at++) {
      const byte = bytes[this.#at]!;
      if (this.#in === "blank" && !isBlank(byte)) {
        this.#in = "method";
        this.#start = this.#at;
      }
      if (this.#in === "blank") {
        if (this.#at >= longestBlank) return "endless-blank";
      } else if (isSpace(byte) && this.#at > this.#start) this.#in = "line";
      else if (!isToken(byte)) return "other";
    }
    for (; this.#at < bytes.length; this.#at++) {
      // Protocols in binary, and Git's, never send a line's end; who waits for it would wait for ever.
      if (bytes[this.#at] === 10 || isControl(bytes[this.#at]!))
        return looksLikeRequest(bytes.toString("latin1", this.#start, this.#at)) ? "http1" : "other";
    }
    return this.#at - this.#start > longestLine ? "http1" : "more";
  }
}

/** Tells from the first bytes of a connection what is spoken on it. */
import { readClientHello, maxHello, type ClientHello } from "./client-hello.ts";

export type Sniffed =
  | { readonly kind: "more" }
  | { readonly kind: "tls"; readonly hello: ClientHello }
  | { readonly kind: "http1" }
  | { readonly kind: "http2" }
  /** SOCKS 4 or 5: a request to go on to some other host. */
  | { readonly kind: "socks" }
  | { readonly kind: "other" }
  | { readonly kind: "malformed"; readonly detail: string };

/** RFC 9113 3.4. */
const http2Preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** A request line longer than this is refused by the HTTP parser too. */
export const maxSniff = maxHello;

/**
 * Blank lines first, which servers skip; a method in any case, since some servers do not mind it; and whatever the
 * languages that servers are written in take for a space (Python's `split`, for one, also these).
 */
const space = "[\\t\\x0b-\\r\\x1c-\\x20\\x85\\xa0]";
const requestStart = new RegExp(`^[\\t-\\r\\x1c-\\x20\\x85\\xa0]*[!#$%&'*+\\-.^_\`|~0-9A-Za-z]{1,64}${space}`);
const requestStartSoFar = /^[\t-\r\x1c-\x20\x85\xa0]*[!#$%&'*+\-.^_`|~0-9A-Za-z]{0,64}$/;
/** A version anywhere in the line. Without one it is HTTP/0.9, which names no host (and memcached, which says `get` too). */
const requestLine = /HTTP\/[0-9]/i;

/**
 * Errs on the side of HTTP and TLS: what a lenient server could take for one of them is treated as it and then parsed
 * strictly.
 */
export function sniff(bytes: Buffer): Sniffed {
  if (bytes.length === 0) return { kind: "more" };
  if (bytes[0] === 22) {
    // Servers are told to ignore the version of a record (RFC 8446 5.1), and some ignore all of it.
    if (bytes.length >= 2 && bytes[1] !== 3) return { kind: "malformed", detail: "unknown record version" };
    const hello = readClientHello(bytes);
    if (hello.kind === "hello") return { kind: "tls", hello };
    if (hello.kind === "more")
      return bytes.length > maxSniff ? { kind: "malformed", detail: "the ClientHello does not end" } : hello;
    return hello;
  }
  // An SSL 2.0 compatible hello names no host and is understood by no current client.
  if ((bytes[0]! & 0x80) !== 0 && bytes[2] === 1 && bytes[3] === 3) {
    return { kind: "malformed", detail: "SSL 2.0 hello" };
  }
  const preface = bytes.subarray(0, http2Preface.length);
  if (preface.equals(http2Preface.subarray(0, preface.length))) {
    return preface.length === http2Preface.length ? { kind: "http2" } : { kind: "more" };
  }
  return sniffSocks(bytes) ?? sniffHttp1(bytes);
}

/** The greeting of RFC 1928 3, or a request of SOCKS 4. */
function sniffSocks(bytes: Buffer): Sniffed | undefined {
  if (bytes[0] === 4 && (bytes.length === 1 || bytes[1] === 1 || bytes[1] === 2)) {
    return { kind: bytes.length >= 9 ? "socks" : "more" };
  }
  if (bytes[0] !== 5 || bytes[1] === 0) return undefined;
  const length = 2 + (bytes[1] ?? 255);
  if (bytes.length < length) return bytes.length > 16 ? undefined : { kind: "more" };
  return bytes.length === length ? { kind: "socks" } : undefined;
}

function sniffHttp1(bytes: Buffer): Sniffed {
  const head = bytes.subarray(0, 32 * 1024).toString("latin1");
  if (requestStartSoFar.test(head))
    return head.length > 256 ? { kind: "malformed", detail: "blank lines do not end" } : { kind: "more" };
  if (!requestStart.test(head)) return { kind: "other" };
  const start = /^[\t-\r\x1c-\x20\x85\xa0]*/.exec(head)![0].length;
  const end = head.indexOf("\n", start);
  if (end >= 0) return requestLine.test(head.slice(start, end)) ? { kind: "http1" } : { kind: "other" };
  // A line that never ends is no request line of a server's making; a parser will say so.
  return bytes.length > 16 * 1024 ? { kind: "http1" } : { kind: "more" };
}

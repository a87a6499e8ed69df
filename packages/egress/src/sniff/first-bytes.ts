/** Tells from the first bytes of a connection what is spoken on it. */
import { ClientHelloReader, maxClientHello, type ClientHello } from "./client-hello.ts";
import { GrowingBytes } from "../bytes/growing-bytes.ts";
import { RequestLineReader } from "./request-line.ts";

export type Sniffed =
  | { readonly kind: "more" }
  | { readonly kind: "tls"; readonly clientHello: ClientHello }
  | { readonly kind: "http1" }
  | { readonly kind: "http2" }
  /** SOCKS 4 or 5: a request to go on to some other host. */
  | { readonly kind: "socks" }
  | { readonly kind: "other" }
  | { readonly kind: "malformed"; readonly detail: string };

const more: Sniffed = { kind: "more" };
const malformed = (detail: string): Sniffed => ({ kind: "malformed", detail });

/** RFC 9113 3.4. */
const http2Preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** Bytes after which there is a verdict in any case. */
export const maxSniff = maxClientHello;
/** The content type of a TLS record with a ClientHello (RFC 8446 5.1). */
const handshake = 22;
/**
 * Records before the ClientHello that servers accept and skip: a change of ciphers, or an alert that is a warning. Go, Java and rustls do
 * so, whatever version the record claims below 16. By byte; undefined is any.
 */
const early: readonly (readonly (number | "version" | undefined)[])[] = [
  [20, "version", undefined, 0, 1, 1],
  [21, "version", undefined, 0, 2, 1],
  [21, "version", undefined, 0, 2, 2],
];

/**
 * Errs on the side of HTTP and TLS: what a lenient server could take for one of them is treated as it and then parsed
 * strictly. Keeps its place between pieces, since a guest chooses how small they are.
 */
export class Sniffer {
  readonly #seen = new GrowingBytes();
  readonly #clientHello = new ClientHelloReader();
  readonly #requestLine = new RequestLineReader();

  /** All that has come. */
  get bytes(): Buffer {
    return this.#seen.bytes;
  }

  push(piece: Buffer): Sniffed {
    this.#seen.append(piece);
    const { bytes } = this;
    if (bytes.length === 0) return more;
    if (bytes[0] === handshake) return this.#tls(bytes);
    const before = sniffEarly(bytes);
    if (before !== undefined) return before;
    // An SSL 2.0 compatible ClientHello names no host and is understood by no current client.
    if ((bytes[0]! & 0x80) !== 0) {
      if (bytes.length < 4) return more;
      if (bytes[2] === 1 && bytes[3] === 3)
        return malformed("The connection begins with an SSL 2.0 ClientHello, which is not supported.");
    }
    const preface = bytes.subarray(0, http2Preface.length);
    if (preface.equals(http2Preface.subarray(0, preface.length)))
      return preface.length === http2Preface.length ? { kind: "http2" } : more;
    return sniffSocks(bytes) ?? this.#http1(bytes);
  }

  #tls(bytes: Buffer): Sniffed {
    // Servers must ignore the version of a record (RFC 8446 5.1), and some ignore all of it.
    if (bytes.length >= 2 && bytes[1] !== 3) return malformed("unknown record version");
    const clientHello = this.#clientHello.read(bytes);
    if (clientHello.kind === "client-hello") return { kind: "tls", clientHello };
    return clientHello.kind === "more" && bytes.length > maxSniff
      ? malformed("The TLS ClientHello is too long.")
      : clientHello;
  }

  #http1(bytes: Buffer): Sniffed {
    const kind = this.#requestLine.read(bytes);
    return kind === "endless-blank" ? malformed("blank lines do not end") : { kind };
  }
}

/** Databases have messages that begin with such a byte, so the whole beginning must fit. */
function sniffEarly(bytes: Buffer): Sniffed | undefined {
  const fits = early.filter((record) =>
    record.every(
      (wanted, at) =>
        wanted === undefined || at >= bytes.length || (wanted === "version" ? bytes[at]! < 16 : bytes[at] === wanted),
    ),
  );
  if (fits.length === 0) return undefined;
  return bytes.length < early[0]!.length ? more : malformed("A TLS record comes before the ClientHello.");
}

/** What `bytes` begin with, when all of them came at once. */
export function sniff(bytes: Buffer): Sniffed {
  return new Sniffer().push(bytes);
}

/** The greeting of RFC 1928 3, alone or with what a hasty client sends behind it, or a request of SOCKS 4. */
function sniffSocks(bytes: Buffer): Sniffed | undefined {
  if (bytes[0] === 4 && (bytes.length === 1 || bytes[1] === 1 || bytes[1] === 2)) {
    return { kind: bytes.length >= 9 ? "socks" : "more" };
  }
  if (bytes[0] !== 5 || bytes[1] === 0) return undefined;
  const length = 2 + (bytes[1] ?? 255);
  if (bytes.length < length) return bytes.length > 16 ? undefined : more;
  // The request itself (version 5), or a password before it (version 1, RFC 1929).
  const next = bytes[length];
  return next === undefined || next === 5 || next === 1 ? { kind: "socks" } : undefined;
}

/** Reads the first message of TLS (RFC 8446 4.1.2, RFC 6066 3) far enough to know which name is asked for. */
import { GrowingBytes } from "../bytes/growing-bytes.ts";

export interface ClientHello {
  readonly kind: "client-hello";
  /** Absent without a server_name extension. */
  readonly serverName?: string;
  readonly alpn: readonly string[];
  /** The encrypted_client_hello extension is there; its content cannot be checked (it may be GREASE). */
  readonly encrypted: boolean;
}

export type ClientHelloResult =
  | ClientHello
  | { readonly kind: "more" }
  | { readonly kind: "malformed"; readonly detail: string };

/** A ClientHello with post-quantum key shares and padding stays far below. */
export const maxClientHello = 64 * 1024;

const extension = { serverName: 0, alpn: 16, encryptedClientHello: 0xfe0d, encryptedServerName: 0xffce } as const;

class Malformed extends Error {}

/** Reads the ClientHello as it comes. No byte is read twice: the message may be spread over thousands of records. */
export class ClientHelloReader {
  readonly #message = new GrowingBytes();
  /** Length of the message, its header included, as far as it is known. */
  #need = 4;
  /** Bytes that were read, and how many more belong to the record in which they end. */
  #at = 0;
  #left = 0;

  /** @param bytes all that has come so far, beginning with a TLS record; at each call those of the call before and more */
  read(bytes: Buffer): ClientHelloResult {
    try {
      return this.#join(bytes) ? parseClientHello(this.#message.bytes.subarray(4, this.#need)) : { kind: "more" };
    } catch (error) {
      if (error instanceof Malformed)
        return { kind: "malformed", detail: `The TLS ClientHello is not valid: ${error.message}.` };
      throw error;
    }
  }

  /** Whether the message is there as a whole. */
  #join(bytes: Buffer): boolean {
    while (this.#message.length < this.#need) {
      if (this.#left === 0) {
        if (bytes.length - this.#at < 5) return false;
        this.#left = recordLength(bytes, this.#at);
        this.#at += 5;
      }
      const part = bytes.subarray(this.#at, this.#at + this.#left);
      if (part.length === 0) return false;
      this.#message.append(part);
      this.#at += part.length;
      this.#left -= part.length;
      if (this.#need === 4 && this.#message.length >= 4) this.#need = messageLength(this.#message.bytes);
    }
    return true;
  }
}

function recordLength(bytes: Buffer, at: number): number {
  if (bytes[at] !== 22) throw new Malformed("it contains a record that is not a handshake record");
  if (bytes[at + 1] !== 3) throw new Malformed("unknown record version");
  const length = bytes.readUInt16BE(at + 3);
  if (length === 0 || length > 16384) throw new Malformed("impossible record length");
  return length;
}

function messageLength(message: Buffer): number {
  if (message[0] !== 1) throw new Malformed("the first handshake message is not a ClientHello");
  const length = 4 + message.readUIntBE(1, 3);
  if (length > maxClientHello) throw new Malformed("it is too long");
  return length;
}

function parseClientHello(message: Buffer): ClientHello {
  const reader = new Reader(message);
  reader.take(2 + 32);
  reader.vector(1);
  reader.vector(2);
  reader.vector(1);
  let serverName: string | undefined;
  let alpn: string[] = [];
  let encrypted = false;
  if (!reader.done) {
    const extensions = new Reader(reader.vector(2));
    if (!reader.done) throw new Malformed("bytes after the extensions");
    const seen = new Set<number>();
    while (!extensions.done) {
      const type = extensions.number(2);
      const body = extensions.vector(2);
      if (seen.has(type)) throw new Malformed("an extension comes twice");
      seen.add(type);
      if (type === extension.serverName) serverName = readServerName(body);
      else if (type === extension.alpn) alpn = readAlpn(body);
      else if (type === extension.encryptedClientHello || type === extension.encryptedServerName) encrypted = true;
    }
  }
  return { kind: "client-hello", ...(serverName !== undefined && { serverName }), alpn, encrypted };
}

function readServerName(body: Buffer): string {
  const outer = new Reader(body);
  const list = new Reader(outer.vector(2));
  if (list.number(1) !== 0) throw new Malformed("unknown kind of server name");
  const name = list.vector(2);
  // Two names would let this parser and the server choose different ones.
  if (!list.done || !outer.done) throw new Malformed("more than one server name");
  if (name.length === 0 || name.some((byte) => byte <= 0x20 || byte >= 0x7f))
    throw new Malformed("the server name is not printable ASCII");
  return name.toString("latin1");
}

function readAlpn(body: Buffer): string[] {
  const outer = new Reader(body);
  const list = new Reader(outer.vector(2));
  const names: string[] = [];
  while (!list.done) names.push(list.vector(1).toString("latin1"));
  return names;
}

class Reader {
  #offset = 0;
  readonly #bytes: Buffer;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  get done(): boolean {
    return this.#offset === this.#bytes.length;
  }
  take(length: number): Buffer {
    const end = this.#offset + length;
    if (end > this.#bytes.length) throw new Malformed("a length points beyond the end");
    const part = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return part;
  }
  number(size: number): number {
    return this.take(size).readUIntBE(0, size);
  }
  /** A length of `size` bytes, then that many bytes. */
  vector(size: number): Buffer {
    return this.take(this.number(size));
  }
}

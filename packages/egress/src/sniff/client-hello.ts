/** Reads the first message of TLS (RFC 8446 4.1.2, RFC 6066 3) far enough to know which name is asked for. */

export interface ClientHello {
  readonly kind: "hello";
  /** Absent without a server_name extension. */
  readonly serverName?: string;
  readonly alpn: readonly string[];
  /** The encrypted_client_hello extension is there; its content cannot be judged (it may be GREASE). */
  readonly encrypted: boolean;
}

export type HelloResult =
  | ClientHello
  | { readonly kind: "more" }
  | { readonly kind: "malformed"; readonly detail: string };

/** A ClientHello with post-quantum key shares and padding stays far below. */
export const maxHello = 64 * 1024;

const extension = { serverName: 0, alpn: 16, encryptedClientHello: 0xfe0d, encryptedServerName: 0xffce } as const;

class Malformed extends Error {}

/** `bytes` begins with a TLS record; more of it than the hello may be there. */
export function readClientHello(bytes: Buffer): HelloResult {
  try {
    const message = joinRecords(bytes);
    return message === undefined ? { kind: "more" } : parseHello(message);
  } catch (error) {
    if (error instanceof Malformed) return { kind: "malformed", detail: error.message };
    throw error;
  }
}

/** The handshake message may be spread over several records. */
function joinRecords(bytes: Buffer): Buffer | undefined {
  const parts: Buffer[] = [];
  let have = 0;
  let offset = 0;
  let need = 4;
  while (have < need) {
    if (bytes.length - offset < 5) return undefined;
    if (bytes[offset] !== 22) throw new Malformed("a record before the hello is complete is not a handshake record");
    if (bytes[offset + 1] !== 3) throw new Malformed("unknown record version");
    const length = bytes.readUInt16BE(offset + 3);
    if (length === 0 || length > 16384) throw new Malformed("impossible record length");
    const body = bytes.subarray(offset + 5, offset + 5 + length);
    parts.push(body);
    have += body.length;
    if (have >= 4 && need === 4) {
      const header = Buffer.concat(parts, 4);
      if (header[0] !== 1) throw new Malformed("the first handshake message is not a ClientHello");
      need = 4 + header.readUIntBE(1, 3);
      if (need > maxHello) throw new Malformed("the ClientHello is too long");
    }
    if (body.length < length && have < need) return undefined;
    offset += 5 + length;
  }
  return Buffer.concat(parts).subarray(4, need);
}

function parseHello(message: Buffer): ClientHello {
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
  return { kind: "hello", ...(serverName !== undefined && { serverName }), alpn, encrypted };
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

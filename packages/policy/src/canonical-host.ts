/** One canonical form for every way to write a host. Policies compare only canonical hosts. */
import { isIP, isIPv6 } from "node:net";

export interface Host {
  readonly kind: "name" | "ip";
  /** Lower-case ASCII name without trailing dot, or the canonical text of an address (IPv6 without brackets). */
  readonly text: string;
}

export interface HostAndPort {
  readonly host: Host;
  /** Absent when the text named none. */
  readonly port?: number;
}

/** RFC 1035 2.3.4. */
const maxName = 253;
const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
/** What would change the meaning of a URL around the host, plus `%`, which URL parsers decode inside hosts. */
const forbidden = /[\0-\x20\x7f/\\@?#%<>^|"`{}[\]:]/;

/**
 * Reads a host without port: names in any case, IDN, one trailing dot; IPv4 in decimal, octal, hexadecimal and short
 * forms; IPv6 with or without brackets, where IPv4-mapped addresses become IPv4.
 * @returns undefined when the text is not exactly a host
 */
export function canonicalHost(text: string): Host | undefined {
  if (text.length === 0 || text.length > 1024) return undefined;
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  if (bare.includes(":")) return canonicalIpv6(bare);
  if (bare !== text || forbidden.test(bare)) return undefined;
  // The host parser of the URL standard: IDNA, number forms of IPv4, refusal of names that end in a number.
  const parsed = URL.parse(`http://${bare}/`)?.hostname;
  if (parsed === undefined || parsed === "") return undefined;
  if (isIP(parsed) === 4) return { kind: "ip", text: parsed };
  const name = parsed.endsWith(".") ? parsed.slice(0, -1) : parsed;
  if (name.length === 0 || name.length > maxName) return undefined;
  if (!name.split(".").every((part) => label.test(part))) return undefined;
  return { kind: "name", text: name };
}

function canonicalIpv6(text: string): Host | undefined {
  // Zone identifiers (`%eth0`) name interfaces of the host; nothing in a sandbox may choose those.
  if (text.includes("%") || !isIPv6(text)) return undefined;
  const parsed = URL.parse(`http://[${text}]/`)?.hostname.slice(1, -1);
  if (parsed === undefined) return undefined;
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(parsed);
  if (mapped === null) return { kind: "ip", text: parsed };
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)];
  return { kind: "ip", text: `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}` };
}

/** Reads `host`, `host:port`, `[v6]` or `[v6]:port`. Userinfo, paths and ports outside 1-65535 are refused. */
export function parseHostAndPort(text: string): HostAndPort | undefined {
  const match = /^(\[[^\]]*\]|[^:[\]]*)(?::([0-9]{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const host = canonicalHost(match[1]!);
  if (host === undefined) return undefined;
  if (match[2] === undefined) return { host };
  const port = Number(match[2]);
  return port >= 1 && port <= 65535 ? { host, port } : undefined;
}

/** `host:port` as in a Host header or an authority; IPv6 in brackets. */
export function formatHostAndPort(host: Host, port?: number): string {
  const text = isIP(host.text) === 6 ? `[${host.text}]` : host.text;
  return port === undefined ? text : `${text}:${port}`;
}

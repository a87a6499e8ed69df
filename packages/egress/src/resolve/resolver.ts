/** From a canonical host to the addresses that may be dialled. The guest's own idea of DNS never enters. */
import { Resolver as DnsResolver } from "node:dns/promises";
import { isIP } from "node:net";
import { canonicalHost, formatHostAndPort, type Host, parseHostAndPort } from "@caisson/policy";
import { askRecords, type Found, type RecordType } from "./records.ts";
import { isInternal, isOwnAddress, listOf } from "./ranges.ts";

export interface Target {
  /** Checked, in the order to try. Never empty. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** Same text as long as the same addresses would be dialled. */
  readonly key: string;
}

export type Resolution =
  | { readonly ok: true; readonly target: Target }
  | { readonly ok: false; readonly rule: "internal-address" | "name-not-found"; readonly detail: string };

export interface ResolverOptions {
  readonly resolve: Readonly<Record<string, string>>;
  readonly allowRanges: readonly string[];
  /** Name servers, `address[:port]`. Absent: those of the host. */
  readonly nameServers?: readonly string[];
}

export interface Resolver {
  resolve(host: Host, port: number): Promise<Resolution>;
  /** Records other than addresses. The caller has checked the name. */
  records(name: string, type: RecordType): Promise<Found>;
}

interface CacheEntry {
  readonly addresses: Promise<readonly string[]>;
  expires: number;
}

/** Answers are kept at least this long, so that a zone with TTL 0 does not cost a query per request; and at most that long. */
const [minTtl, maxTtl, negativeTtl] = [5_000, 300_000, 5_000];
const maxEntries = 4096;

/** @throws Error when a map entry or a range cannot be read; the configuration is wrong then */
export function createResolver(options: ResolverOptions): Resolver {
  const open = listOf(options.allowRanges);
  const mapped = readMap(options.resolve);
  const dns = new DnsResolver({ timeout: 2_000, tries: 2 });
  if (options.nameServers !== undefined) dns.setServers(options.nameServers);
  const cache = new Map<string, CacheEntry>();

  const permitted = (address: string): boolean =>
    open.check(address, isIP(address) === 4 ? "ipv4" : "ipv6") || !(isInternal(address) || isOwnAddress(address));

  const query = async (name: string, entry: { expires: number }): Promise<readonly string[]> => {
    const answers = await Promise.allSettled([dns.resolve4(name, { ttl: true }), dns.resolve6(name, { ttl: true })]);
    const records = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    const ttl =
      records.length === 0
        ? negativeTtl
        : Math.min(maxTtl, Math.max(minTtl, Math.min(...records.map((record) => record.ttl)) * 1000));
    entry.expires = performance.now() + ttl;
    // IPv4 first: a host without IPv6 would otherwise lose a round on every dial. Sorted, so that rotation keeps pools warm.
    return [...new Set(records.map((record) => record.address))].sort((a, b) => isIP(a) - isIP(b) || (a < b ? -1 : 1));
  };

  const lookup = (name: string): Promise<readonly string[]> => {
    const known = cache.get(name);
    if (known !== undefined && known.expires > performance.now()) return known.addresses;
    if (cache.size >= maxEntries) cache.delete(cache.keys().next().value!);
    // Until the answer is there, everyone who asks shares the one query.
    const entry: { addresses: Promise<readonly string[]>; expires: number } = {
      addresses: Promise.resolve([]),
      expires: Number.POSITIVE_INFINITY,
    };
    entry.addresses = query(name, entry);
    cache.delete(name);
    cache.set(name, entry);
    return entry.addresses;
  };

  return {
    records: (name, type) => askRecords(dns, name, type),
    async resolve(host, port) {
      const exact = mapped.get(formatHostAndPort(host, port)) ?? mapped.get(formatHostAndPort(host));
      if (exact !== undefined) return found([exact.address], exact.port ?? port);
      const addresses = host.kind === "ip" ? [host.text] : await lookup(host.text);
      if (addresses.length === 0) return { ok: false, rule: "name-not-found", detail: `${host.text} has no address` };
      // One internal address among public ones is a rebinding attempt or a split zone; either way the name is not to be trusted.
      const refused = addresses.find((address) => !permitted(canonicalHost(address)?.text ?? address));
      if (refused !== undefined) {
        return {
          ok: false,
          rule: "internal-address",
          detail: `${host.text} resolves to the internal address ${refused}`,
        };
      }
      return found(addresses, port);
    },
  };
}

function found(addresses: readonly string[], port: number): Resolution {
  return { ok: true, target: { addresses, port, key: `${addresses.join(",")}:${port}` } };
}

function readMap(entries: Readonly<Record<string, string>>): Map<string, { address: string; port?: number }> {
  const map = new Map<string, { address: string; port?: number }>();
  for (const [from, to] of Object.entries(entries)) {
    const key = parseHostAndPort(from);
    const value = parseHostAndPort(isIP(to) === 6 ? `[${to}]` : to);
    if (key === undefined) throw new Error(`egress.resolve: ${from} is not \`name\` or \`name:port\`.`);
    if (value === undefined || value.host.kind !== "ip")
      throw new Error(`egress.resolve: ${to} is not \`address\` or \`address:port\`.`);
    map.set(formatHostAndPort(key.host, key.port), {
      address: value.host.text,
      ...(value.port !== undefined && { port: value.port }),
    });
  }
  return map;
}

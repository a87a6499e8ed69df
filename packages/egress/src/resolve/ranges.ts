/** Which addresses are internal: reachable from this host, but none of a sandbox's business. */
import { BlockList, isIP, isIPv4, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";

/**
 * IANA special-purpose registries (RFC 6890 and later), multicast and reserved space. The documentation ranges
 * (RFC 5737, 3849) are left out on purpose: lab networks use them.
 */
const internal4 = [
  "0.0.0.0/8", // this network, unspecified
  "10.0.0.0/8", // private
  "100.64.0.0/10", // carrier-grade NAT
  "127.0.0.0/8", // loopback
  "169.254.0.0/16", // link-local, cloud metadata
  "172.16.0.0/12", // private
  "192.0.0.0/24", // protocol assignments
  "192.88.99.0/24", // 6to4 relays
  "192.168.0.0/16", // private
  "198.18.0.0/15", // benchmarks
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, broadcast
];
const internal6 = [
  "::/127", // unspecified, loopback
  "64:ff9b:1::/48", // NAT64 for local use
  "100::/64", // discard
  "2001::/23", // protocol assignments, Teredo
  "5f00::/16", // segment routing
  "fc00::/7", // unique local
  "fe80::/9", // link-local, site-local
  "ff00::/8", // multicast
];
/** IPv6 prefixes that carry an IPv4 address, and the 16-bit group where it begins. */
const carriers = [
  { prefix: "::/96", group: 6 }, // IPv4-compatible
  { prefix: "::ffff:0:0/96", group: 6 }, // IPv4-mapped
  { prefix: "::ffff:0:0:0/96", group: 6 }, // IPv4-translated
  { prefix: "64:ff9b::/96", group: 6 }, // NAT64
  { prefix: "2002::/16", group: 1 }, // 6to4
].map(({ prefix, group }) => ({ list: listOf([prefix]), group }));

const internal = listOf([...internal4, ...internal6]);

/** @throws Error when a range is not CIDR notation */
export function listOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [network = "", bits = ""] = range.split("/");
    const family = isIPv4(network) ? "ipv4" : isIPv6(network) ? "ipv6" : undefined;
    const length = bits === "" ? (family === "ipv4" ? 32 : 128) : Number(bits);
    if (family === undefined || !Number.isInteger(length))
      throw new Error(`${range} is not a range such as 10.1.0.0/16.`);
    list.addSubnet(network, length, family);
  }
  return list;
}

function contains(list: BlockList, address: string): boolean {
  return list.check(address, isIPv4(address) ? "ipv4" : "ipv6");
}

/** The eight groups of an IPv6 address. */
function groups(address: string): number[] {
  const text = address.replace(
    /(\d+)\.(\d+)\.(\d+)\.(\d+)$/,
    (_, a, b, c, d) => `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`,
  );
  const [head = "", tail] = text.split("::");
  const parse = (part: string | undefined): number[] =>
    part ? part.split(":").map((group) => Number.parseInt(group, 16)) : [];
  const [first, last] = [parse(head), parse(tail)];
  return tail === undefined
    ? first
    : [...first, ...Array.from({ length: 8 - first.length - last.length }, () => 0), ...last];
}

/** The IPv4 address that an IPv6 address carries, if it is of a form that does. */
function carried(address: string): string | undefined {
  const carrier = isIPv6(address) ? carriers.find(({ list }) => contains(list, address)) : undefined;
  if (carrier === undefined) return undefined;
  const parts = groups(address);
  const [high, low] = [parts[carrier.group]!, parts[carrier.group + 1]!];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

/** True when the list holds the address, or the IPv4 address that it carries. */
function reaches(list: BlockList, address: string): boolean {
  const inside = carried(address);
  return contains(list, address) || (inside !== undefined && contains(list, inside));
}

/** True for internal addresses and for IPv6 forms that carry one; also for text that is no address at all. */
export function isInternal(address: string): boolean {
  return isIP(address) === 0 || reaches(internal, address);
}

/** Milliseconds. */
const ownAddressesTtl = 30_000;
let own = listOf([]);
let ownReadAt = Number.NEGATIVE_INFINITY;

/**
 * True for addresses of this host, public ones too, and for IPv6 forms that carry one: behind them listen the platform and its
 * neighbours.
 */
export function isOwnAddress(address: string, now: number = performance.now()): boolean {
  if (now - ownReadAt > ownAddressesTtl) {
    own = listOf(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((entry) => entry.address)));
    ownReadAt = now;
  }
  return isIP(address) !== 0 && reaches(own, address);
}

/** Who a client is: the address that limits count by, also behind a reverse proxy. */
import { BlockList, isIP, isIPv6 } from "node:net";

export type AddressSet = Pick<BlockList, "check">;

/** @param ranges addresses and CIDR ranges, as the configuration has checked them */
export function addressSet(ranges: readonly string[]): AddressSet {
  const set = new BlockList();
  for (const range of ranges) {
    const [address = "", prefix] = range.split("/");
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    if (prefix === undefined) set.addAddress(address, family);
    else set.addSubnet(address, Number(prefix), family);
  }
  return set;
}

/**
 * The address of the client of a connection.
 * @param peer the other end of the connection; undefined when it has disconnected
 * @param forwardedFor the header `X-Forwarded-For`. It counts only as far as trusted proxies wrote it: the rightmost address that is
 *   none of theirs is the client's. What is left of it is the client's own claim.
 */
export function clientAddress(
  peer: string | undefined,
  forwardedFor: string | readonly string[] | undefined,
  trusted: AddressSet,
): string {
  let client = plainAddress(peer ?? "");
  const claims = [forwardedFor ?? []].flat().join(",").split(",");
  while (contains(trusted, client)) {
    const claim = plainAddress(claims.pop()?.trim() ?? "");
    // The proxy itself sent the request, or it sent something that is no address.
    if (isIP(claim) === 0) return client;
    client = claim;
  }
  return client;
}

export function contains(set: AddressSet, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && set.check(address, family === 6 ? "ipv6" : "ipv4");
}

/** An IPv4 address that came over a socket of IPv6 as IPv4, and an IPv6 address without its zone and its port. */
function plainAddress(address: string): string {
  const bare = address.replace(/^\[(.*)\](:\d+)?$/, "$1").replace(/%.*$/, "");
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1] ?? bare;
}

/** What limits count by. Whoever has one IPv6 address has 2^64 of them (RFC 6177), so the network counts. */
export function addressKey(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = "", tail = ""] = address.toLowerCase().split("::");
  const groups = head === "" ? [] : head.split(":");
  const rest = tail === "" ? [] : tail.split(":");
  if (address.includes("::")) groups.push(...Array<string>(Math.max(0, 8 - groups.length - rest.length)).fill("0"));
  groups.push(...rest);
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")}::/64`;
}

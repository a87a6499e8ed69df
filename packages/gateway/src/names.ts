/** Names of the gateway: what is left of its domain. */

/** DNS labels in lower case (RFC 1123 2.1). One for previews, several for apps: their directories know which are theirs. */
const namePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,5}$/;

export interface Names {
  readonly domain: string;
  /** `name.domain`. */
  host(name: string): string;
  /** `name.domain:port`, without the port when it is 443. */
  address(name: string, port: number): string;
  /** The name in `address`; letter case, a port and one final dot do not matter. Undefined: not below our domain. */
  nameIn(address: string): string | undefined;
}

export function createNames(domain: string): Names {
  const suffix = `.${domain}`;
  const host = (name: string) => `${name}${suffix}`;
  return {
    domain,
    host,
    address: (name, port) => (port === 443 ? host(name) : `${host(name)}:${port}`),
    nameIn(address) {
      if (address.length > 300) return undefined;
      const whole = address
        .toLowerCase()
        .replace(/:\d{1,5}$/, "")
        .replace(/\.$/, "");
      if (!whole.endsWith(suffix) || whole.length > 253) return undefined;
      const name = whole.slice(0, -suffix.length);
      return namePattern.test(name) ? name : undefined;
    },
  };
}

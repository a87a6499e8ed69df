/** Names of the gateway: what is left of its domain. A hostname elsewhere is its own name, with a final dot as in zone files. */

/** DNS labels in lower case (RFC 1123 2.1). One for previews, several for apps: their directories know which are theirs. */
const namePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,5}$/;
/** At least two labels, the last one with a letter: no IP address (RFC 1123 2.1). */
const elsewhere = /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.){1,8}(?=[0-9-]*[a-z])[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export interface Names {
  readonly domain: string;
  /** `name.domain`, or the name without its final dot. */
  host(name: string): string;
  /** `name.domain:port`, without the port when it is 443. */
  address(name: string, port: number): string;
  /** The name in `address`; letter case, a port and one final dot do not matter. Undefined: not below our domain. */
  nameIn(address: string): string | undefined;
  /** The same, also for hostnames elsewhere. */
  anyNameIn(address: string): string | undefined;
}

/** Whether it is a hostname that is not below the gateway's domain. */
export function isElsewhere(name: string): boolean {
  return name.endsWith(".");
}

export function createNames(domain: string): Names {
  const suffix = `.${domain}`;
  const host = (name: string) => (isElsewhere(name) ? name.slice(0, -1) : `${name}${suffix}`);
  const own = (whole: string): string | undefined => {
    if (!whole.endsWith(suffix)) return undefined;
    const name = whole.slice(0, -suffix.length);
    return namePattern.test(name) ? name : undefined;
  };
  return {
    domain,
    host,
    address: (name, port) => (port === 443 ? host(name) : `${host(name)}:${port}`),
    nameIn: (address) => own(hostIn(address)),
    anyNameIn(address) {
      const whole = hostIn(address);
      if (whole === domain || whole.endsWith(suffix)) return own(whole);
      return elsewhere.test(whole) ? `${whole}.` : undefined;
    },
  };
}

/** Empty: it is too long for a hostname. */
function hostIn(address: string): string {
  if (address.length > 300) return "";
  const whole = address
    .toLowerCase()
    .replace(/:\d{1,5}$/, "")
    .replace(/\.$/, "");
  return whole.length > 253 ? "" : whole;
}

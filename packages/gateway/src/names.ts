/** Host names below the gateway's domain: one label for a preview of a sandbox's port, `<app>.<org>.app` for an app. */

/** What the server makes; see `packages/server/src/previews` and `serving`. */
const labelPattern = /^([a-z0-9]{1,63}|[a-z0-9-]{1,63}\.[a-z0-9-]{1,63}\.app)$/;

export interface Names {
  readonly domain: string;
  /** `label.domain`. */
  host(label: string): string;
  /** `label.domain:port`, without the port when it is 443. */
  address(label: string, port: number): string;
  /** The label in `address`; letter case, a port and one final dot do not matter. Undefined: not below our domain. */
  label(address: string): string | undefined;
}

export function createNames(domain: string): Names {
  const suffix = `.${domain}`;
  const host = (label: string) => `${label}${suffix}`;
  return {
    domain,
    host,
    address: (label, port) => (port === 443 ? host(label) : `${host(label)}:${port}`),
    label(address) {
      if (address.length > 300) return undefined;
      const name = address
        .toLowerCase()
        .replace(/:\d{1,5}$/, "")
        .replace(/\.$/, "");
      if (!name.endsWith(suffix)) return undefined;
      const label = name.slice(0, -suffix.length);
      return labelPattern.test(label) ? label : undefined;
    },
  };
}

/**
 * Cookies that one preview would set for others. A browser sends a cookie with `Domain=example.com` to every host below it, so
 * one sandbox could plant a session in the pages of another (cookie tossing). A cookie without `Domain`, or for its own host,
 * stays there.
 */
export function staysAtHome(setCookie: string, host: string): boolean {
  const domains = setCookie
    .split(";")
    .slice(1)
    .map((attribute) => /^\s*domain\s*=(.*)$/is.exec(attribute)?.[1])
    .filter((value) => value !== undefined)
    .map((value) => value.trim().toLowerCase().replace(/^\./, "").replace(/\.$/, ""));
  // Browsers differ in which of several counts: each must be ours. An empty one means none (RFC 6265 5.2.3).
  return domains.every((domain) => domain === "" || domain === host);
}

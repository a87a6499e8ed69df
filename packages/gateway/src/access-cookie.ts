/** The cookie of visitors who came by a signed link. `__Host-`: no other host can set it, and it goes to no other host (RFC 6265bis 4.1.3). */
const name = "__Host-caisson-access";

export function accessCookies(header: string): readonly string[] {
  return pairs(header).flatMap((pair) => (pair.startsWith(`${name}=`) ? [pair.slice(name.length + 1)] : []));
}

/** @param seconds that it is good for */
export function setAccessCookie(token: string, seconds: number): string {
  return `${name}=${token}; Path=/; Max-Age=${seconds}; Secure; HttpOnly; SameSite=Lax`;
}

/** A header without our cookie; none when nothing is left. Others stay as they came. */
export function withoutAccessCookie(field: readonly [string, string]): (readonly [string, string])[] {
  const [header, value] = field;
  if (header !== "cookie" || !value.includes(name)) return [field];
  const rest = pairs(value).filter((pair) => !pair.startsWith(`${name}=`));
  return rest.length === 0 ? [] : [[header, rest.join("; ")]];
}

const pairs = (header: string): string[] => header.split(";").map((pair) => pair.trim());

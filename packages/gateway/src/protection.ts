/**
 * Visitors of protected names. They show the token of a signed link, which becomes a cookie, or a token of the organisation. Neither
 * reaches the program in the sandbox.
 */
import { headerValue, listValue } from "@caisson/http1";
import type { VisitGuard } from "@caisson/protocol";
import type { Logger } from "pino";
import { accessCookies, setAccessCookie } from "./access-cookie.ts";
import type { Refusal } from "./refusal.ts";
import type { Exchange } from "./exchange.ts";
import { credentialHeader } from "./headers.ts";

/** Of signed links. */
const parameter = "caisson-access";
/** Cookies of our name that are tried. */
const mostCookies = 4;

interface Redirect {
  readonly redirect: string;
  readonly cookie: string;
}

/** @returns the target to ask the program for; or the answer */
export async function admitted(
  exchange: Exchange,
  guard: VisitGuard | undefined,
  websocket: boolean,
  log: Logger,
): Promise<{ readonly target: string } | Redirect | Refusal> {
  const [target, link] = takeParameter(exchange.target);
  if (guard === undefined) return { target: exchange.target };
  try {
    const authorization = headerValue(exchange.headers, credentialHeader);
    if (authorization !== undefined)
      return (await guard.admits({ authorization })) === undefined ? wrongToken : { target };
    if (link !== undefined) {
      const until = await guard.admits({ link });
      if (until === undefined) return wrongLink;
      const seconds = Math.max(1, Math.floor((until - Date.now()) / 1000));
      const safe = (exchange.method === "GET" || exchange.method === "HEAD") && !websocket;
      return safe ? { redirect: target, cookie: setAccessCookie(link, seconds) } : { target };
    }
    if (fromOtherSite(exchange)) return otherSite;
    for (const cookie of accessCookies(listValue(exchange.headers, "cookie")).slice(0, mostCookies))
      if ((await guard.admits({ link: cookie })) !== undefined) return { target };
    return needed;
  } catch (error) {
    log.error({ err: error }, "cannot check who visits a protected address");
    return { status: 503, rule: "lookup-failed", message: "The gateway failed to check your access. Try again." };
  }
}

/** Without the token, which then is neither in the browser's history nor in a `Referer`. */
export function redirect(exchange: Exchange, { redirect: target, cookie }: Redirect): void {
  exchange.begin(303, [
    ["location", target],
    ["set-cookie", cookie],
    ["cache-control", "no-store"],
    ["referrer-policy", "no-referrer"],
    ["content-length", "0"],
  ]);
  exchange.end();
}

/**
 * Names of one domain are one site to browsers, so `SameSite` does not keep the cookie from requests of a neighbour's page. Opening a
 * link from there is allowed, in a window: a frame would let that page draw over ours what the visitor clicks.
 */
function fromOtherSite({ headers, method, authority }: Exchange): boolean {
  const site = headerValue(headers, "sec-fetch-site");
  if (site === "cross-site" || site === "same-site")
    return headerValue(headers, "sec-fetch-dest") !== "document" || method !== "GET";
  const origin = headerValue(headers, "origin");
  return origin !== undefined && origin.toLowerCase().replace(/^[a-z]+:\/\//, "") !== authority?.toLowerCase();
}

/** The target without the token of a link, and the token. The rest of the query stays as it came. */
function takeParameter(target: string): [target: string, token: string | undefined] {
  const at = target.indexOf("?");
  if (at === -1) return [target, undefined];
  let token: string | undefined;
  const rest = target
    .slice(at + 1)
    .split("&")
    .filter((pair) => {
      if (!pair.startsWith(`${parameter}=`)) return true;
      token = pair.slice(parameter.length + 1);
      return false;
    });
  // `//host` would lead elsewhere, and browsers take a backslash for a slash.
  const path = target.slice(0, at).replace(/^[/\\]+/, "/");
  return token === undefined ? [target, undefined] : [rest.length === 0 ? path : `${path}?${rest.join("&")}`, token];
}

const needed: Refusal = {
  status: 401,
  rule: "access-needed",
  message:
    "This address is protected. Open it by a signed link of its owner, or send a token of its organisation in the header Caisson-Authorization.",
};
const wrongToken: Refusal = {
  status: 403,
  rule: "access-refused",
  message: "The token in the header Caisson-Authorization is not valid for this address.",
};
const wrongLink: Refusal = {
  status: 403,
  rule: "access-refused",
  message: "This link has expired or was revoked. Ask the owner of the address for a new one.",
};
const otherSite: Refusal = {
  status: 403,
  rule: "access-refused",
  message: "Pages of other addresses may not use this protected address.",
};

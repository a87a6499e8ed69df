/** Checks that a request can be read in one way only, and that it is addressed to the host of its connection. */
import { formatHostAndPort, parseHostAndPort } from "@caisson/policy";
import type { HttpConnection } from "../model/http-connection.ts";
import type { GuestRequest } from "../model/guest.ts";
import { connectRefused, RequestRefused, withoutProxy } from "../model/outcome.ts";

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$/;
const maxTarget = 32 * 1024;

export interface Checked {
  /** Path and query, `*`, or for a forward proxy a URL. */
  readonly target: string;
  /** The host that the request names, where it may name any. */
  readonly authority?: string;
}

/** @throws RequestRefused */
export function checkRequest(connection: HttpConnection, request: GuestRequest): Checked {
  if (!token.test(request.method))
    throw new RequestRefused(400, "malformed-request", "The method contains characters that no HTTP method has.");
  if (request.method.toUpperCase() === "CONNECT") throw connectRefused();
  const { target, authorities } = request;
  if (target.length > maxTarget)
    throw new RequestRefused(
      414,
      "malformed-request",
      `The request target is longer than ${maxTarget} bytes, the limit.`,
    );
  // Clients never send a fragment (`#`). Servers that cut there would see another path than the one that was checked.
  if (!/^[\x21\x22\x24-\x7e\x80-\xff]+$/.test(target))
    throw new RequestRefused(
      400,
      "malformed-request",
      "The request target contains characters that a URL cannot have. Percent-encode them.",
    );
  if (authorities.length === 0) throw new RequestRefused(400, "authority-missing", "The request has no Host header.");
  if (new Set(authorities).size > 1 || (request.protocol !== "h2" && authorities.length > 1)) {
    throw new RequestRefused(403, "authority-ambiguous", "The request names more than one host. Send one Host header.");
  }
  const unjudged = connection.unjudged !== undefined && request.protocol !== "h2";
  const authority = authorities[0]!;
  if (!unjudged) checkAuthority(connection, authority, request.protocol);
  const named = unjudged ? { authority } : {};
  if (target.startsWith("/")) return { target, ...named };
  if (target === "*" && request.method === "OPTIONS") return { target, ...named };
  const absolute = /^(https?):\/\/([^/?#]*)(.*)$/i.exec(target);
  if (absolute === null || request.protocol === "h2")
    throw new RequestRefused(400, "malformed-request", "The request target is neither a path nor a URL of this host.");
  // undici takes schemes in small letters only.
  if (unjudged) return { target: absolute[1]!.toLowerCase() + target.slice(absolute[1]!.length), authority };
  if (absolute[1]!.toLowerCase() !== connection.scheme) {
    throw new RequestRefused(
      403,
      "authority-mismatch",
      `The request target is an ${absolute[1]} URL on a connection that speaks ${connection.scheme}.`,
    );
  }
  checkAuthority(connection, absolute[2]!, request.protocol);
  const rest = absolute[3]!;
  return { target: rest.startsWith("/") ? rest : `/${rest}` };
}

function checkAuthority(connection: HttpConnection, text: string, protocol: GuestRequest["protocol"]): void {
  const named = parseHostAndPort(text);
  const agrees =
    named !== undefined &&
    named.host.kind === connection.host.kind &&
    named.host.text === connection.host.text &&
    (named.port ?? connection.port) === connection.port;
  if (agrees) return;
  // 421 makes an HTTP/2 client that coalesced connections try again on one of its own (RFC 9110 15.5.20).
  throw new RequestRefused(
    protocol === "h2" ? 421 : 403,
    "authority-mismatch",
    `The connection is for ${formatHostAndPort(connection.host, connection.port)}, but the request names ${JSON.stringify(text.slice(0, 253))}. ${withoutProxy}`,
  );
}

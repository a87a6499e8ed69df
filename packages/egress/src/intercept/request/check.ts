/** Checks that a request says one thing only, and that it is addressed to the host the connection is for. */
import { formatHostAndPort, parseHostAndPort } from "@caisson/policy";
import type { Conversation } from "../model/http-connection.ts";
import type { GuestRequest } from "../model/guest.ts";
import { Refusal } from "../model/refusal.ts";

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$/;
const maxTarget = 32 * 1024;

/**
 * @returns path and query
 * @throws Refusal
 */
export function checkRequest(conversation: Conversation, request: GuestRequest): string {
  if (!token.test(request.method)) throw new Refusal(400, "malformed-request", "The method is not a token.");
  if (request.method.toUpperCase() === "CONNECT") {
    throw new Refusal(
      403,
      "connect-in-http",
      "A tunnel inside a conversation with an allowed host is not possible. Connect to the other host directly.",
    );
  }
  const { target, authorities } = request;
  if (target.length > maxTarget) throw new Refusal(414, "malformed-request", "The request target is too long.");
  // `#` belongs to what clients keep to themselves. Servers that cut there see another path than the one that was judged.
  if (!/^[\x21\x22\x24-\x7e\x80-\xff]+$/.test(target))
    throw new Refusal(400, "malformed-request", "The request target holds characters that do not belong there.");
  if (authorities.length === 0) throw new Refusal(400, "authority-missing", "The request does not name a host.");
  if (new Set(authorities).size > 1 || (request.protocol !== "h2" && authorities.length > 1)) {
    throw new Refusal(403, "authority-ambiguous", "The request names more than one host.");
  }
  checkAuthority(conversation, authorities[0]!, request.protocol);
  if (target.startsWith("/")) return target;
  if (target === "*" && request.method === "OPTIONS") return target;
  const absolute = /^(https?):\/\/([^/?#]*)(.*)$/i.exec(target);
  if (absolute === null || request.protocol === "h2")
    throw new Refusal(400, "malformed-request", "The request target is neither a path nor a URL.");
  if (absolute[1]!.toLowerCase() !== conversation.scheme) {
    throw new Refusal(
      403,
      "authority-mismatch",
      `The request target is an ${absolute[1]} URL on a connection that speaks ${conversation.scheme}.`,
    );
  }
  checkAuthority(conversation, absolute[2]!, request.protocol);
  const rest = absolute[3]!;
  return rest.startsWith("/") ? rest : `/${rest}`;
}

function checkAuthority(conversation: Conversation, text: string, protocol: GuestRequest["protocol"]): void {
  const named = parseHostAndPort(text);
  const agrees =
    named !== undefined &&
    named.host.kind === conversation.host.kind &&
    named.host.text === conversation.host.text &&
    (named.port ?? conversation.port) === conversation.port;
  if (agrees) return;
  // 421 makes an HTTP/2 client that coalesced connections try again on one of its own (RFC 9110 15.5.20).
  throw new Refusal(
    protocol === "h2" ? 421 : 403,
    "authority-mismatch",
    `The connection is for ${formatHostAndPort(conversation.host, conversation.port)}, but the request names ${JSON.stringify(text.slice(0, 253))}.`,
  );
}

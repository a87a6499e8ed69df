/** Which headers the gateway forwards, and which it adds. */
import { endToEnd, type HeaderList } from "@caisson/http1";
import { withoutAccessCookie } from "./access-cookie.ts";
import { staysAtHome } from "./cookies.ts";
import { withTraceParent } from "./trace-parent.ts";

/** With a token of the organisation. It is for the gateway: a program in a sandbox must never see it. */
export const credentialHeader = "caisson-authorization";

/** Claims about who the visitor is and what he asked for: only the gateway's own count. */
const claims = /^(forwarded|x-forwarded-.*|x-real-ip)$/;

export interface Visitor {
  /** IP address of the other end of the connection. */
  readonly address: string;
  /** The host as he wrote it. */
  readonly authority: string;
  /** See `HttpRoute.traced`. */
  readonly traced?: boolean | undefined;
}

export function requestHeaders(headers: HeaderList, { address, authority, traced }: Visitor): HeaderList {
  return [
    ["host", authority],
    ...endToEnd(traced === true ? withTraceParent(headers) : headers)
      .filter(([name]) => name !== "host" && !claims.test(name) && name !== credentialHeader)
      .flatMap(withoutAccessCookie),
    ["x-forwarded-for", address],
    ["x-forwarded-host", authority],
    // Also behind a proxy that ends TLS: the addresses that clients get begin with https.
    ["x-forwarded-proto", "https"],
  ];
}

export function responseHeaders(headers: HeaderList, status: number, host: string): HeaderList {
  const chunked = headers.some(([name]) => name === "transfer-encoding");
  return endToEnd(headers).filter(([name, value]) => {
    // It names another protocol at another address, past this gateway.
    if (name === "alt-svc") return false;
    if (name === "content-length") return !chunked && status !== 204;
    return name !== "set-cookie" || staysAtHome(value, host);
  });
}

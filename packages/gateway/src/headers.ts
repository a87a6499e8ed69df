/** Which headers go on, and which end here. */
import { staysAtHome } from "./cookies.ts";

export type HeaderList = readonly (readonly [name: string, value: string])[];

/** About one connection, not about the message (RFC 9110 7.6.1), plus those that the HTTP library writes itself. */
const ofConnection = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "expect",
]);

/** Claims about who the visitor is and what he asked for: only ours count. */
const claims = /^(forwarded|x-forwarded-.*|x-real-ip)$/;

/** Pairs in lower case from the flat list of `node:http`. */
export function pairs(raw: readonly (string | Buffer)[]): [string, string][] {
  const text = (value: string | Buffer) => (typeof value === "string" ? value : value.toString("latin1"));
  return Array.from({ length: raw.length >> 1 }, (_, index) => [
    text(raw[2 * index]!).toLowerCase(),
    withoutSpace(text(raw[2 * index + 1]!)),
  ]);
}

/**
 * Space around a value is none of it (RFC 9110 5.5), but Node's parser leaves it at the end, and a length with a space is no length to
 * some. No regular expression: of thousands of spaces it would try each as the last.
 */
function withoutSpace(value: string): string {
  const isSpace = (at: number) => value[at] === " " || value[at] === "\t";
  let [from, to] = [0, value.length];
  while (to > from && isSpace(to - 1)) to--;
  while (from < to && isSpace(from)) from++;
  return value.slice(from, to);
}

function endToEnd(headers: HeaderList): HeaderList {
  const named = new Set(
    headers
      .filter(([name]) => name === "connection")
      .flatMap(([, value]) => value.split(",").map((word) => word.trim().toLowerCase())),
  );
  return headers.filter(([name]) => !ofConnection.has(name) && !named.has(name));
}

export interface Visitor {
  /** IP address of whoever connected to us. */
  readonly address: string;
  /** The host as he wrote it. */
  readonly authority: string;
}

export function requestHeaders(headers: HeaderList, { address, authority }: Visitor): HeaderList {
  return [
    ["host", authority],
    ...endToEnd(headers).filter(([name]) => name !== "host" && !claims.test(name)),
    ["x-forwarded-for", address],
    ["x-forwarded-host", authority],
    // Also behind a proxy that ends TLS: the addresses that clients are given say https.
    ["x-forwarded-proto", "https"],
  ];
}

export function responseHeaders(headers: HeaderList, status: number, host: string): HeaderList {
  const chunked = headers.some(([name]) => name === "transfer-encoding");
  return endToEnd(headers).filter(([name, value]) => {
    // Another protocol at another address, past this gateway.
    if (name === "alt-svc") return false;
    if (name === "content-length") return !chunked && status !== 204;
    return name !== "set-cookie" || staysAtHome(value, host);
  });
}

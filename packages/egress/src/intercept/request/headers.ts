/** Which headers of a request are forwarded. */
import { endToEnd, type HeaderList } from "@caisson/http1";
import { isGrpc } from "../model/media-types.ts";

/** These ask for a response that cannot be searched, or for a part of one: a part may hold a part of a secret. */
const hiding = new Set([
  "range",
  "if-range",
  // Other names of Range: old clients', and Azure's.
  "request-range",
  "x-ms-range",
  "accept-encoding",
  "accept-charset",
  "grpc-accept-encoding",
  "connect-accept-encoding",
  "a-im",
  "available-dictionary",
  "dictionary-id",
  // Digests of a response as the upstream sent it are not forwarded either.
  "want-digest",
  "want-content-digest",
  "want-repr-digest",
]);

export interface RequestHeaderOptions {
  /** The response will be searched, so it should come uncompressed. */
  readonly reads: boolean;
  readonly bodyLength: number | undefined;
  readonly websocket: boolean;
  /** The upstream is a forward proxy, to which the credentials for proxies belong. */
  readonly proxied: boolean;
}

export function requestHeaders(headers: HeaderList, options: RequestHeaderOptions): HeaderList {
  // Extensions of WebSocket (compression) would hide the content of frames, which are read in any case.
  const kept = endToEnd(headers).filter(
    ([name]) =>
      name !== "host" &&
      name !== "content-length" &&
      name !== "sec-websocket-extensions" &&
      !(options.reads && hiding.has(name)),
  ) as (readonly [string, string])[];
  if (options.reads) {
    if (!options.websocket) kept.push(["accept-encoding", "identity"]);
    if (isGrpc(headers)) kept.push(["grpc-accept-encoding", "identity"]);
  }
  if (headers.some(([name, value]) => name === "te" && /\btrailers\b/i.test(value))) kept.push(["te", "trailers"]);
  if (options.proxied) kept.push(...headers.filter(([name]) => name === "proxy-authorization"));
  if (options.bodyLength !== undefined) kept.push(["content-length", String(options.bodyLength)]);
  return kept;
}

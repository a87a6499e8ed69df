/** Which headers go on, and which end here. */
import type { Redactor } from "../../redact/redactor.ts";
import type { HeaderList } from "../../secrets/substitute.ts";

/** About one connection, not about the message (RFC 9110 7.6.1), plus those that we write ourselves. */
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
  "host",
  "expect",
]);

function endToEnd(headers: HeaderList): [string, string][] {
  const named = new Set(
    headers
      .filter(([name]) => name === "connection")
      .flatMap(([, value]) => value.split(",").map((word) => word.trim().toLowerCase())),
  );
  return headers.filter(([name]) => !ofConnection.has(name) && !named.has(name)).map(([name, value]) => [name, value]);
}

export function isGrpc(headers: HeaderList): boolean {
  return headerValue(headers, "content-type")?.toLowerCase().startsWith("application/grpc") === true;
}

/** Messages with their lengths before them: gRPC, gRPC-Web and Connect's streams, but for what is Base64 as a whole. */
export function hasMessages(headers: HeaderList): boolean {
  const type = headerValue(headers, "content-type")?.toLowerCase() ?? "";
  return /^application\/(grpc|connect\+)/.test(type) && !type.startsWith("application/grpc-web-text");
}

export function headerValue(headers: HeaderList, wanted: string): string | undefined {
  return headers.find(([name]) => name === wanted)?.[1];
}

/** All lines of a field that is a list, as one (RFC 9110 5.3): what only the first line says is not what the message says. */
export function listValue(headers: HeaderList, wanted: string): string {
  return headers
    .filter(([name]) => name === wanted)
    .map(([, value]) => value)
    .join(", ");
}

/** What asks for an answer that cannot be searched, or for parts of one: parts of a resource would hold parts of a value. */
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
  // Digests of an answer as the host has it do not come through either.
  "want-digest",
  "want-content-digest",
  "want-repr-digest",
]);

export interface RequestHeaderOptions {
  /** The response will be read, so it should come as it is. */
  readonly reads: boolean;
  readonly bodyLength: number | undefined;
  readonly websocket: boolean;
}

export function requestHeaders(headers: HeaderList, options: RequestHeaderOptions): HeaderList {
  // Extensions of WebSocket (compression) would hide what the frames hold, and frames are read in any case.
  let kept = endToEnd(headers).filter(([name]) => name !== "content-length" && name !== "sec-websocket-extensions");
  if (options.reads) {
    kept = kept.filter(([name]) => !hiding.has(name));
    if (!options.websocket) kept.push(["accept-encoding", "identity"]);
    if (isGrpc(headers)) kept.push(["grpc-accept-encoding", "identity"]);
  }
  if (headers.some(([name, value]) => name === "te" && /\btrailers\b/i.test(value))) kept.push(["te", "trailers"]);
  if (options.bodyLength !== undefined) kept.push(["content-length", String(options.bodyLength)]);
  return kept;
}

/** About the body as it was coded; wrong once it was decoded. */
const ofCodedBody = new Set(["content-encoding", "content-length", "accept-ranges"]);

/**
 * Digests of the body as the host sent it. Clients that check them would take a redacted body for broken, and with them a guest that
 * knows all of the body but the value could try values until one fits. An `etag` stays: nobody but its host can say what it is made
 * of, it is as good a name for the redacted body as for the other, and requests that must hit one version (`If-Match`) need it as it
 * is. Where a host makes it from the body it is such a digest too, which finds a value of few possibilities, and no key.
 */
const ofUnredactedBody = new Set(["content-md5", "digest", "content-digest", "repr-digest"]);

/** @param decoded whether codings were taken off the body */
export function responseHeaders(headers: HeaderList, redactor: Redactor, decoded = false): [string, string][] {
  const kept = endToEnd(headers)
    // Alternative services are other protocols and hosts that the sandbox cannot reach.
    .filter(([name]) => name !== "alt-svc")
    .filter(([name]) => !(decoded && ofCodedBody.has(name)))
    .filter(([name]) => !(redactor.active && ofUnredactedBody.has(name)));
  // One search over all of them finds nothing, nearly always; what is in one of them is in the whole.
  const whole = kept.flat().join("\n");
  const named = redactor.inName(whole) ? kept.filter(([name]) => !redactor.inName(name)) : kept;
  if (redactor.text(whole) === whole) return named;
  return named.map(([name, value]) => [name, redactor.text(value)]);
}

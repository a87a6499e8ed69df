/** Which preview a request is for. Whatever leaves room for doubt is refused before a byte of it goes on. */
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import type { Preview, PreviewDirectory } from "@caisson/protocol";
import type { Names } from "./names.ts";

export interface Refusal {
  readonly status: number;
  /** Stable, for programs. */
  readonly rule: string;
  /** For people. */
  readonly message: string;
}

export interface Addressed {
  readonly preview: Preview;
  /** Canonical name, without port. */
  readonly host: string;
  /** As the visitor wrote it, with the port if there is one. */
  readonly authority: string;
}

export interface AddressedOptions {
  readonly names: Names;
  readonly directory: PreviewDirectory;
  /** Whether visitors speak TLS with us, and so name the host a second time. */
  readonly tls: boolean;
}

export function addressed(request: IncomingMessage, { names, directory, tls }: AddressedOptions): Addressed | Refusal {
  const unclear = ambiguity(request);
  if (unclear !== undefined) return { status: 400, rule: "malformed-request", message: unclear };
  const [authority = ""] = valuesOf(request, "host");
  const label = names.label(authority);
  if (label === undefined)
    return {
      status: 421,
      rule: "foreign-host",
      message: "This address serves exposed ports of sandboxes and nothing else.",
    };
  if (tls) {
    const servername = (request.socket as TLSSocket & { servername?: string | false }).servername;
    if (typeof servername !== "string" || names.label(servername) !== label)
      return {
        status: 421,
        rule: "server-name-mismatch",
        message: "The connection was made for another host than the request. Make a new connection.",
      };
  }
  const preview = directory.find(label);
  if (preview === undefined)
    return {
      status: 404,
      rule: "no-such-preview",
      message: "Nothing is exposed at this address. It was never given out, or its sandbox has ended.",
    };
  if (preview === "reserved")
    return {
      status: 404,
      rule: "not-exposed-yet",
      message: "This address is reserved, and no port is exposed at it yet.",
    };
  return { preview, host: names.host(label), authority };
}

/** What the parser takes but another parser might read in another way. */
function ambiguity(request: IncomingMessage): string | undefined {
  if (valuesOf(request, "host").length !== 1) return "A request names its host exactly once.";
  // Also refused: the absolute form, whose host would outrank the header, and `*`.
  if (request.url?.startsWith("/") !== true) return "The target of a request is a path.";
  const lengths = valuesOf(request, "content-length");
  const codings = valuesOf(request, "transfer-encoding");
  if (lengths.length > 1 || lengths.some((value) => !/^\d{1,15}$/.test(value)))
    return "The request has an ambiguous Content-Length.";
  if (codings.length > 1 || codings.some((value) => value.toLowerCase() !== "chunked"))
    return "The only transfer coding that is taken is chunked.";
  if (lengths.length > 0 && codings.length > 0) return "The request has both Content-Length and Transfer-Encoding.";
  if (codings.length > 0 && request.httpVersion !== "1.1") return "HTTP/1.0 has no transfer codings.";
  if (
    request.headers.upgrade?.toLowerCase() === "websocket" &&
    (request.method !== "GET" || lengths.length + codings.length > 0)
  )
    return "A WebSocket begins with a GET request without body.";
  return undefined;
}

function valuesOf({ rawHeaders }: IncomingMessage, name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]!.toLowerCase() === name);
}

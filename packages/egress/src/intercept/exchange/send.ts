/** The stage that sends a request to its upstream, over the protocol that both ends speak. */
import { codeOf } from "@caisson/protocol";
import { UpstreamFailure } from "../../upstream/failure.ts";
import { callHttp1 } from "../../upstream/http1.ts";
import { callHttp2 } from "../../upstream/http2.ts";
import type { Origin } from "../../upstream/origin.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "../../upstream/request.ts";
import type { GuestRequest } from "../model/guest.ts";
import { isGrpc } from "../model/media-types.ts";

export interface Sending {
  readonly scheme: "https" | "http";
  /** As the guest made it. */
  readonly request: Pick<GuestRequest, "protocol" | "headers">;
  readonly origin: Origin;
  readonly upstream: UpstreamRequest;
  readonly handler: UpstreamHandler;
  /** Aborted when the guest has disconnected. */
  readonly left: AbortSignal;
}

/** @throws UpstreamFailure */
export async function send({ scheme, request, origin, upstream, handler, left }: Sending): Promise<UpstreamCall> {
  if (request.protocol === "h2") {
    const stream = await origin.http2(left);
    if (stream !== undefined) return callHttp2(stream, scheme, upstream, handler);
    if (isGrpc(request.headers))
      throw new UpstreamFailure("upstream-protocol", "The upstream does not speak HTTP/2, which gRPC needs");
  }
  return callHttp1(origin.http1, asHttp1(scheme, upstream), handler);
}

function asHttp1(scheme: "https" | "http", upstream: UpstreamRequest): UpstreamRequest {
  // RFC 9113 lets a cookie be split over several fields; HTTP/1.1 has one.
  const cookies = upstream.headers.filter(([name]) => name === "cookie").map(([, value]) => value);
  const headers = upstream.headers.filter(([name]) => name !== "cookie" && name !== "te");
  if (cookies.length > 0) headers.push(["cookie", cookies.join("; ")]);
  return {
    ...upstream,
    // undici does not send `*`; a URL without a path means the same (RFC 9112 3.2.4).
    ...(upstream.target === "*" && { target: `${scheme}://${upstream.authority}` }),
    headers: headers.filter(([name, value]) => name !== "content-length" || value !== "0"),
  };
}

/** An upstream may close a kept connection in the moment in which it is used again (RFC 9110 9.2.2, RFC 9112 9.3.1). */
export const isRepeatable = ({ method, body, protocol }: GuestRequest): boolean =>
  body === undefined && protocol !== "websocket" && ["GET", "HEAD", "OPTIONS"].includes(method);

const broken = new Set<unknown>(["UND_ERR_SOCKET", "ECONNRESET", "EPIPE", "ERR_HTTP2_GOAWAY_SESSION"]);
export const brokeOff = (error: Error): boolean => broken.has(codeOf(error));

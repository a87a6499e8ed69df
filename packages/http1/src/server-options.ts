/** Options of Node's HTTP server for clients that are not trusted. */
import type { IncomingMessage, ServerOptions } from "node:http";

export interface ServerLimits {
  /** Bytes of one request head. */
  readonly headerBytes: number;
  /** Milliseconds until the head of a request must be complete. */
  readonly headers: number;
  /** Milliseconds that an idle connection is kept. */
  readonly keepAlive: number;
}

/** The caller sets `maxHeadersCount`, which Node takes only as a property of the server. */
export function strictServerOptions({ headerBytes, headers, keepAlive }: ServerLimits): ServerOptions & {
  shouldUpgradeCallback: (request: IncomingMessage) => boolean;
} {
  return {
    insecureHTTPParser: false,
    // Both proxies check `Host` themselves.
    requireHostHeader: false,
    maxHeaderSize: headerBytes,
    headersTimeout: headers,
    // A long upload is allowed; the caller ends silent connections.
    requestTimeout: 0,
    keepAliveTimeout: keepAlive,
    connectionsCheckingInterval: 5_000,
    // A server may ignore an offer of another protocol, such as h2c (RFC 9110 7.8).
    shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === "websocket",
  };
}

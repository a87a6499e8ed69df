/**
 * One request into a sandbox and its answer back, by HTTP/1.1. Each has a connection of its own: surplus bytes of a program inside can
 * never become the answer to another visitor.
 */
import type { Duplex } from "node:stream";
import { headerList, type HeaderList } from "@caisson/http1";
import { CaissonError, type HttpRoute } from "@caisson/protocol";
import { Client, errors, type Dispatcher } from "undici";
import { asSocket } from "./as-socket.ts";
import type { Exchange } from "./exchange.ts";
import { requestHeaders, responseHeaders } from "./headers.ts";
import { limits } from "./limits.ts";
import type { Address } from "./route.ts";
import { passedTrailers } from "./trailers.ts";
import { whyNot } from "./why-not.ts";
import { tooSlow, visitorLeft, within } from "./within.ts";

export interface Forwarding {
  readonly exchange: Exchange;
  /** The target of the request, without a credential for the gateway. */
  readonly target: string;
  /** Address of the client. */
  readonly visitor: string;
  readonly address: Address;
  readonly route: HttpRoute;
  /** Called instead of an answer when the program inside accepts the WebSocket. Both connections belong to the callee then. */
  readonly upgraded?: (inside: Duplex, headers: HeaderList) => void;
}

export function forward({ exchange, target, visitor, address, route, upgraded }: Forwarding): void {
  const { host, authority } = address;
  const disconnected = new AbortController();
  const client = new Client("http://route.invalid", {
    connect: (_, callback) => {
      const limit = within([disconnected.signal, route.ended], route.connectTimeout ?? limits.connect, tooSlow);
      limit.during(route.connect(limit.signal)).then(
        (stream) => callback(null, asSocket(stream)),
        (error: unknown) => callback(error as Error, null),
      );
    },
    pipelining: 0,
    headersTimeout: limits.silence,
    bodyTimeout: limits.silence,
    maxHeaderSize: limits.headerBytes,
  });
  let controller: Dispatcher.DispatchController | undefined;
  let over = false;
  /** Bytes of the answer that are still to come, if it has a Content-Length. */
  let remaining: number | undefined;
  const end = (reason: Error | null) => {
    if (over) return;
    over = true;
    disconnected.abort(visitorLeft);
    route.ended.removeEventListener("abort", onEnded);
    client.destroy(reason ?? visitorLeft).catch(() => undefined);
  };
  const fail = (error: Error) => {
    exchange.refuse(whyNot(error));
    end(error);
  };
  const whole = (trailers: HeaderList = []) => {
    if (over) return;
    exchange.end(trailers);
    end(null);
  };
  const onEnded = () => fail(new CaissonError("gone", "The sandbox has ended."));
  route.ended.addEventListener("abort", onEnded, { once: true });
  exchange.onDrain(() => controller?.resume());
  exchange.onClose(() => {
    if (!over) end(new Error("The visitor has disconnected."));
  });
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart(started) {
      controller = started;
    },
    onResponseStart(_, status) {
      // 1xx are between the program and us.
      if (status < 200 || over) return;
      const headers = responseHeaders(rawOf(controller), status, host);
      if (headers.length > limits.headerFields) return fail(new errors.HeadersOverflowError());
      const length = headers.find(([name]) => name === "content-length")?.[1];
      if (length !== undefined && exchange.method !== "HEAD") remaining = Number(length);
      try {
        exchange.begin(status, headers);
      } catch (error) {
        fail(error as Error);
      }
    },
    onResponseData(_, chunk) {
      if (over) return;
      if (remaining !== undefined) remaining -= chunk.length;
      if (!exchange.write(chunk)) controller?.pause();
    },
    onResponseEnd: () => whole(passedTrailers(rawTrailersOf(controller), limits.trailerFields)),
    onRequestUpgrade(_, __, ___, socket) {
      const headers = responseHeaders(rawOf(controller), 101, host);
      // Not `end`: the connection belongs to the callee now, and the client no longer uses it.
      over = true;
      route.ended.removeEventListener("abort", onEnded);
      if (upgraded === undefined) socket.destroy();
      else upgraded(socket, headers);
    },
    onResponseError(_, error) {
      if (over) return;
      // The whole answer came, then the connection ended while the visitor did not read. undici 8 reports that as an early end.
      if (remaining === 0) whole();
      else fail(error);
    },
  };
  try {
    client.dispatch(
      {
        path: target,
        method: exchange.method,
        headers: requestHeaders(exchange.headers, { address: visitor, authority, traced: route.traced }).flat(),
        body: exchange.body ?? null,
        ...(upgraded !== undefined && { upgrade: "websocket" }),
      },
      handler,
    );
  } catch (error) {
    fail(error as Error);
  }
}

/** The bytes as they came: decoded as UTF-8, as undici does for its own users, they could not be sent on unchanged. */
function rawOf(controller: unknown): HeaderList {
  return headerList((controller as { rawHeaders?: Buffer[] | null } | undefined)?.rawHeaders ?? []);
}

function rawTrailersOf(controller: unknown): HeaderList {
  return headerList((controller as { rawTrailers?: Buffer[] | null } | undefined)?.rawTrailers ?? []);
}

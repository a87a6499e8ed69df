/**
 * gRPC into a sandbox: HTTP/2 from end to end, because servers of gRPC speak nothing else. Without TLS inside, as a program on a port
 * does (prior knowledge, RFC 9113 3.3). A connection of its own for each call, like any other request.
 */
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { headerList, headerValue, type HeaderList } from "@caisson/http1";
import { CaissonError } from "@caisson/protocol";
import type { Forwarding } from "./forward.ts";
import { requestHeaders, responseHeaders } from "./headers.ts";
import { limits } from "./limits.ts";
import { passedTrailers, trailersObject } from "./trailers.ts";
import { noAnswer, whyNot } from "./why-not.ts";
import { tooSlow, visitorLeft, within } from "./within.ts";

/** gRPC-Web is made for HTTP/1.1. */
export function isGrpc(headers: HeaderList): boolean {
  return /^application\/grpc($|[+;])/i.test(headerValue(headers, "content-type") ?? "");
}

export function forwardGrpc(forwarding: Forwarding): void {
  const { exchange, address, route } = forwarding;
  const disconnected = new AbortController();
  let session: ClientHttp2Session | undefined;
  let over = false;
  const end = () => {
    if (over) return;
    over = true;
    disconnected.abort(visitorLeft);
    route.ended.removeEventListener("abort", onEnded);
    session?.destroy();
  };
  const fail = (error: unknown) => {
    if (over) return;
    exchange.refuse(whyNot(error as Error));
    end();
  };
  const onEnded = () => fail(new CaissonError("gone", "The sandbox has ended."));
  route.ended.addEventListener("abort", onEnded, { once: true });
  exchange.onClose(end);
  const limit = within([disconnected.signal, route.ended], route.connectTimeout ?? limits.connect, tooSlow);
  const connected = limit.during(route.connect(limit.signal));
  connected.then((stream) => {
    if (over) {
      stream.destroy();
      return;
    }
    try {
      session = connect("http://route.invalid", {
        createConnection: () => stream,
        maxSessionMemory: 8,
        maxHeaderListPairs: limits.headerFields,
        maxSettings: 16,
        settings: { enablePush: false, initialWindowSize: limits.streamWindow, maxHeaderListSize: limits.headerBytes },
      });
      session.on("error", fail);
      session.once("close", () => fail(new Error("The program closed the connection.")));
      const inside = session.request(pseudo(forwarding), {
        endStream: exchange.body === undefined,
        waitForTrailers: exchange.body !== undefined,
      });
      converse(inside);
    } catch (error) {
      stream.destroy();
      fail(error);
    }
  }, fail);

  function converse(inside: ClientHttp2Stream): void {
    inside.on("error", fail);
    inside.setTimeout(limits.quietSocket, () => {
      if (over) return;
      exchange.refuse(noAnswer);
      end();
    });
    let trailers: HeaderList = [];
    inside.on("response", (found, flags, raw) => {
      if (over) return;
      const status = Number(found[":status"]);
      // An answer that is nothing but trailers, as gRPC reports an early error.
      const alone = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      const headers = headerList(raw).filter(([name]) => !name.startsWith(":"));
      try {
        exchange.begin(status, responseHeaders(headers, status, address.host), alone);
      } catch (error) {
        return fail(error);
      }
      if (alone) inside.resume();
    });
    inside.on("trailers", (_, __, raw) => (trailers = passedTrailers(headerList(raw), limits.trailerFields)));
    inside.on("data", (chunk: Buffer) => {
      if (!over && !exchange.write(chunk)) inside.pause();
    });
    exchange.onDrain(() => inside.resume());
    inside.once("end", () => {
      if (over || inside.rstCode !== constants.NGHTTP2_NO_ERROR) return;
      exchange.end(trailers);
      // The program has sent everything. What the visitor still sends is dropped.
      end();
    });
    inside.once("close", () => fail(new Error("The program ended its answer early.")));
    inside.once("wantTrailers", () => {
      try {
        inside.sendTrailers(trailersObject(passedTrailers(exchange.trailers(), limits.trailerFields)));
      } catch (error) {
        // Node refuses some fields, such as two of `etag`. The visitor chooses them.
        fail(error);
      }
    });
    const { body } = exchange;
    if (body === undefined) return;
    body.on("data", (chunk: Buffer) => {
      if (!inside.destroyed && !inside.write(chunk)) body.pause();
    });
    inside.on("drain", () => body.resume());
    body.once("end", () => inside.end());
    body.once("error", end);
  }
}

function pseudo({ exchange, target, visitor, address, route }: Forwarding): readonly string[] {
  const { authority } = address;
  const { traced } = route;
  const headers = requestHeaders(exchange.headers, { address: visitor, authority, traced }).filter(
    ([name]) => name !== "host",
  );
  return [
    ...[":method", exchange.method, ":scheme", "http", ":path", target, ":authority", authority],
    ...headers.flat(),
    // Without it servers of gRPC refuse (gRPC over HTTP/2, "Requests").
    ...["te", "trailers"],
  ];
}

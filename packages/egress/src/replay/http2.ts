/** Sends one request over HTTP/2, trailers and streaming in both directions included. */
import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import { pipeline } from "node:stream";
import type { HeaderList } from "../secrets/substitute.ts";
import type { OpenStream } from "./origin.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "./upstream.ts";

export function callHttp2(
  openStream: OpenStream,
  scheme: "https" | "http",
  request: UpstreamRequest,
  handler: UpstreamHandler,
): UpstreamCall {
  const headers: OutgoingHttpHeaders = {
    ":method": request.method,
    ":scheme": scheme,
    ":authority": request.authority,
    ":path": request.target,
  };
  for (const [name, value] of request.headers) {
    const before = headers[name];
    headers[name] = before === undefined ? value : ([before, value].flat() as string[]);
  }
  const withTrailers = request.body !== undefined && request.trailers !== undefined;
  const stream = openStream(headers, { endStream: request.body === undefined, waitForTrailers: withTrailers });
  let over = false;
  const once = (action: () => void): void => {
    if (over) return;
    over = true;
    action();
  };
  let trailers: HeaderList = [];
  let answered = false;
  stream.on("response", (received, flags) => {
    const ended = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    answered = true;
    handler.head(Number(received[":status"]), headerList(received), ended);
    // Not before: Node may emit the first data ahead of the response it belongs to.
    stream.on("data", (chunk: Buffer) => handler.data(chunk));
  });
  stream.on("trailers", (received) => {
    trailers = headerList(received);
  });
  stream.on("end", () =>
    once(() => {
      // Node ends a stream in this way too when its session breaks off or the peer cancels it.
      if (answered && !stream.destroyed) handler.end(trailers);
      else handler.fail(new Error(`The upstream broke off the stream (code ${stream.rstCode})`));
    }),
  );
  stream.on("error", (error) => once(() => handler.fail(error)));
  stream.on("close", () =>
    once(() => handler.fail(new Error(`The upstream ended the stream with code ${stream.rstCode}`))),
  );
  if (withTrailers) {
    stream.on("wantTrailers", () => {
      try {
        stream.sendTrailers(Object.fromEntries(request.trailers!()));
      } catch (error) {
        once(() => handler.fail(error as Error));
        stream.close(constants.NGHTTP2_CANCEL);
      }
    });
  }
  // The response may be complete before the request is; then the rest of the body is nobody's business any more.
  if (request.body !== undefined) pipeline(request.body, stream, () => {});
  return {
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    abort: () => {
      over = true;
      stream.close(constants.NGHTTP2_CANCEL);
    },
  };
}

function headerList(headers: IncomingHttpHeaders): HeaderList {
  const pairs: [string, string][] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of [value].flat()) pairs.push([name, one]);
  }
  return pairs;
}

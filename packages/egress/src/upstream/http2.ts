/** Sends one request over HTTP/2, trailers and streaming in both directions included. */
import { constants, type ClientHttp2Stream, type OutgoingHttpHeaders } from "node:http2";
import { pipeline } from "node:stream";
import type { HeaderList } from "@caisson/http1";
import { headDeadline } from "./head-deadline.ts";
import { holdUnread } from "./hold-unread.ts";
import type { FreeStream } from "./http2-sessions.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "./request.ts";

/** Milliseconds in which an upstream must acknowledge that a stream was cancelled. */
const notice = 30_000;

export function callHttp2(
  free: FreeStream,
  scheme: "https" | "http",
  request: UpstreamRequest,
  handler: UpstreamHandler,
): UpstreamCall {
  // Without a prototype: fields may be called `constructor` and `__proto__`.
  const headers = Object.assign(Object.create(null) as OutgoingHttpHeaders, {
    ":method": request.method,
    ":scheme": scheme,
    ":authority": request.authority,
    ":path": request.target,
  });
  for (const [name, value] of request.headers) {
    const before = headers[name];
    headers[name] = before === undefined ? value : ([before, value].flat() as string[]);
  }
  const withTrailers = request.body !== undefined && request.trailers !== undefined;
  const cancel = new AbortController();
  const { signal } = cancel;
  const stream = free.open(headers, { endStream: request.body === undefined, waitForTrailers: withTrailers, signal });
  const held = holdUnread(stream);
  let over = false;
  const once = (action: () => void): void => {
    if (over) return;
    over = true;
    deadline.end();
    action();
  };
  const deadline = headDeadline(free.patience, (failure) => {
    once(() => handler.fail(failure));
    giveUp();
  });
  let sending = request.body !== undefined;
  const giveUp = (): void => {
    // While a body is sent, closing would let the pipeline destroy the stream before Node has sent the reset.
    if (sending) cancel.abort();
    else closeWithNotice(stream);
  };
  let trailers: HeaderList = [];
  let answered = false;
  stream.on("response", (received, flags, raw) => {
    const ended = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    answered = true;
    deadline.end();
    handler.head(Number(received[":status"]), fieldsOf(raw), ended);
    // Not before: Node may emit the first data ahead of the response it belongs to.
    stream.on("data", (chunk: Buffer) => handler.data(chunk));
  });
  stream.on("trailers", (_, __, raw) => {
    trailers = fieldsOf(raw);
  });
  stream.on("end", () =>
    once(() => {
      // Node ends a stream in this way too when its session breaks off or the peer cancels it.
      if (answered && held.whole && !stream.destroyed) handler.end(trailers);
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
  // The response may be complete before the request is; then the rest of the body is not needed.
  if (request.body === undefined) deadline.begin();
  else
    pipeline(request.body, stream, (error) => {
      sending = false;
      if (error === null || error === undefined) deadline.begin();
    });
  return {
    pause: () => held.pause(),
    resume: () => held.resume(),
    abort: () => once(giveUp),
  };
}

/** A stream is kept until its reset has been sent. An upstream that does not read it loses its session. */
function closeWithNotice(stream: ClientHttp2Stream): void {
  const { session } = stream;
  stream.close(constants.NGHTTP2_CANCEL);
  if (session === undefined) return;
  const stuck = setTimeout(() => session.destroy(), notice).unref();
  stream.once("close", () => clearTimeout(stuck));
}

/** As they came. Of a field that should occur once, Node's own object keeps the first and drops the others, a second encoding as well. */
function fieldsOf(raw: readonly string[]): HeaderList {
  const pairs: [string, string][] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index]!;
    if (!name.startsWith(":")) pairs.push([name, raw[index + 1]!]);
  }
  return pairs;
}

/** HTTP/2 of guests. Every stream is checked by itself. */
import {
  constants,
  performServerHandshake,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { PassThrough, type Duplex } from "node:stream";
import { closeWhenIdle } from "../../upstream/close-when-idle.ts";
import type { HttpConnection } from "../model/http-connection.ts";
import { exchange } from "../exchange/exchange.ts";
import type { GuestRequest } from "../model/guest.ts";
import { Http2Reply } from "./reply.ts";

/** Bounds on one session of a hostile client: bytes, counts, milliseconds. */
const limits = {
  headerBytes: 64 * 1024,
  headerPairs: 256,
  streams: 128,
  window: 256 * 1024,
  memory: 16,
  idle: 120_000,
  resetBurst: 500,
  resetRate: 50,
} as const;

export function serveHttp2(socket: Duplex, connection: HttpConnection): ServerHttp2Session {
  const session = performServerHandshake(socket, {
    maxSessionMemory: limits.memory,
    maxHeaderListPairs: limits.headerPairs,
    maxSendHeaderBlockLength: 4 * limits.headerBytes,
    maxSessionInvalidFrames: 256,
    // Counted over the life of the session, see `worker/port.ts`.
    maxSessionRejectedStreams: 10_000,
    // Upstreams do send a field twice that should occur once; it is forwarded as it is, like over HTTP/1.1.
    strictSingleValueFields: false,
    maxOutstandingPings: 4,
    maxSettings: 16,
    streamResetBurst: limits.resetBurst,
    streamResetRate: limits.resetRate,
    settings: {
      maxConcurrentStreams: limits.streams,
      maxHeaderListSize: limits.headerBytes,
      initialWindowSize: limits.window,
      enableConnectProtocol: false,
    },
  });
  session.on("error", () => socket.destroy());
  session.on("close", () => socket.destroy());
  const carries = closeWhenIdle(session, limits.idle);
  session.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number) => {
    carries(stream);
    stream.on("error", () => {});
    const ended = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    void exchange(connection, guestRequest(stream, headers, ended), new Http2Reply(stream));
  });
  return session;
}

function guestRequest(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ended: boolean): GuestRequest {
  const list: [string, string][] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of [value].flat()) list.push([name, one]);
  }
  let trailers: IncomingHttpHeaders = {};
  stream.on("trailers", (received) => (trailers = received));
  const length = headers["content-length"];
  return {
    protocol: "h2",
    method: headers[":method"] ?? "",
    target: headers[":path"] ?? "",
    authorities: [headers[":authority"], headers.host].filter((value) => value !== undefined),
    headers: list,
    ...(!ended && { body: bodyOf(stream) }),
    ...(!ended && length !== undefined && /^[0-9]{1,16}$/.test(length) && { bodyLength: Number(length) }),
    trailers: () => Object.entries(trailers).map(([name, value]) => [name, String(value ?? "")]),
  };
}

/** A reader destroys a body after its end; the stream itself still has to carry the answer, so the body is a stream of its own. */
function bodyOf(stream: ServerHttp2Stream): PassThrough {
  const body = stream.pipe(new PassThrough(), { end: false });
  body.on("error", () => {});
  // Runs after the pipe's own listener, which stops the stream: the rest would fill its window, and a guest that goes on sending would wait.
  body.once("close", () => stream.resume());
  const breakOff = (): void =>
    void (body.writableEnded || body.destroy(new Error("The guest ended the request early")));
  stream.once("close", breakOff);
  // Node ends a stream in this way too when its session breaks off; the upstream would take a part of the body for the whole.
  stream.once("end", () => (stream.aborted ? breakOff() : body.end()));
  return body;
}

/** The HTTP/2 that guests speak; every stream is judged by itself. */
import {
  constants,
  performServerHandshake,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { PassThrough, type Duplex } from "node:stream";
import { closeWhenIdle } from "../../upstream/close-when-idle.ts";
import { UpstreamFailure } from "../../upstream/failure.ts";
import type { HeaderList } from "../../secrets/substitute.ts";
import type { Conversation } from "../model/http-connection.ts";
import { exchange } from "../exchange/exchange.ts";
import { mayWait, type GuestReply, type GuestRequest } from "../model/guest.ts";

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

export function serveHttp2(socket: Duplex, conversation: Conversation): ServerHttp2Session {
  const session = performServerHandshake(socket, {
    maxSessionMemory: limits.memory,
    maxHeaderListPairs: limits.headerPairs,
    maxSendHeaderBlockLength: 4 * limits.headerBytes,
    maxSessionInvalidFrames: 256,
    // Counted over the life of the session, see `worker/port.ts`.
    maxSessionRejectedStreams: 10_000,
    // Hosts do send a field twice that should stand once; that is told as it is, as over HTTP/1.1.
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
    void exchange(conversation, guestRequest(stream, headers, ended), new Http2Reply(stream));
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

/** Whoever has read a body to its end destroys it; the stream itself still has an answer to carry. */
function bodyOf(stream: ServerHttp2Stream): PassThrough {
  const body = stream.pipe(new PassThrough(), { end: false });
  body.on("error", () => {});
  // After the pipe's own listener, which stops the stream: what is left would fill its window, and a guest that goes on sending waits.
  body.once("close", () => stream.resume());
  const breakOff = (): void =>
    void (body.writableEnded || body.destroy(new Error("The guest ended the request early")));
  stream.once("close", breakOff);
  // Node ends a stream in this way too when its session breaks off; the host would take what came for the whole.
  stream.once("end", () => (stream.aborted ? breakOff() : body.end()));
  return body;
}

class Http2Reply implements GuestReply {
  readonly #stream: ServerHttp2Stream;
  #trailers: HeaderList = [];
  /** Whether we have ended the answer ourselves. */
  #ended = false;

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
  }

  get started(): boolean {
    return this.#stream.headersSent;
  }

  head(status: number, headers: HeaderList, { ended }: { ended: boolean }): void {
    if (this.#stream.destroyed || this.#stream.closed) return;
    if (status > 599)
      throw new UpstreamFailure(
        "upstream-protocol",
        `The host answered with status ${status}, which HTTP/2 does not have`,
      );
    this.#stream.respond({ ":status": status, ...collect(headers) }, {
      endStream: ended,
      waitForTrailers: !ended,
      sendDate: false,
    } as object);
    this.#ended = ended;
    this.#stream.on("wantTrailers", () => {
      try {
        this.#stream.sendTrailers(collect(this.#trailers));
      } catch {
        this.abort();
      }
    });
  }

  write(chunk: Buffer): boolean {
    const stream = this.#stream;
    return stream.destroyed || stream.writableEnded || stream.write(chunk) || stream.writableLength < mayWait;
  }

  end(trailers: HeaderList): void {
    this.#ended = true;
    if (this.#stream.destroyed || this.#stream.writableEnded) return;
    this.#trailers = trailers;
    this.#stream.end();
  }

  abort(): void {
    this.#ended = true;
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  onDrain(listener: () => void): void {
    this.#stream.on("drain", listener);
  }

  onGone(listener: () => void): void {
    // Not by the stream's own state: Node ends our side of a stream that was reset, and it is finished when nothing waited to be written.
    const tell = (): void => {
      if (this.#ended) return;
      this.#ended = true;
      listener();
    };
    // The first comes before the request's body breaks off, which would look like a failure; for HEAD only the second comes.
    this.#stream.once("aborted", tell).once("close", tell);
  }
}

/** `connection: close` and the like have no place in HTTP/2. */
function collect(list: HeaderList): OutgoingHttpHeaders {
  // Without a prototype: fields may be called `constructor` and `__proto__`.
  const headers = Object.create(null) as OutgoingHttpHeaders;
  for (const [name, value] of list) {
    if (name === "connection") continue;
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat().map(String);
  }
  return headers;
}

/** Replies to a guest that speaks HTTP/2. */
import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { HeaderList } from "@caisson/http1";
import { UpstreamFailure } from "../../upstream/failure.ts";
import { mayWait, type GuestReply } from "../model/guest.ts";

export class Http2Reply implements GuestReply {
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
        `The upstream answered with status ${status}, which HTTP/2 does not have`,
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
    // The stream's own state does not show it: Node ends our side of a stream that was reset, and reports it as finished when nothing was queued.
    const report = (): void => {
      if (this.#ended) return;
      this.#ended = true;
      listener();
    };
    // The first comes before the request's body breaks off, which would look like a failure; for HEAD only the second comes.
    this.#stream.once("aborted", report).once("close", report);
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

/** A request by HTTP/2: one stream of a connection. */
import { constants, type ServerHttp2Stream } from "node:http2";
import { PassThrough, type Readable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { framingFault, headerList, type HeaderList } from "@caisson/http1";
import { answerHeaders, bodyOf } from "./answer.ts";
import type { Refusal } from "./refusal.ts";
import type { Exchange } from "./exchange.ts";
import { limits } from "./limits.ts";
import { trailersObject } from "./trailers.ts";

export class Http2Exchange implements Exchange {
  readonly version = "2";
  readonly method: string;
  readonly target: string;
  readonly headers: HeaderList;
  readonly authority: string | undefined;
  readonly fault: string | undefined;
  readonly servername: string | undefined;
  readonly peer: string | undefined;
  readonly body: Readable | undefined;
  readonly #stream: ServerHttp2Stream;
  #trailers: HeaderList = [];
  #answerTrailers: HeaderList = [];
  #rule: string | undefined;
  #status: number | undefined;
  #in = 0;
  #received = 0;
  #out = 0;

  /** @param raw names and values in turn, as they came */
  constructor(stream: ServerHttp2Stream, raw: readonly string[]) {
    this.#stream = stream;
    const all = headerList(raw);
    const pseudo = (wanted: string) => all.find(([name]) => name === wanted)?.[1];
    this.method = pseudo(":method") ?? "";
    this.target = pseudo(":path") ?? "";
    this.headers = joinCookies(all.filter(([name]) => !name.startsWith(":")));
    const hosts = new Set([
      ...all.filter(([name]) => name === ":authority" || name === "host").map(([, value]) => value),
    ]);
    this.authority = hosts.size === 1 ? [...hosts][0] : undefined;
    this.fault = isTooLong(all) ? tooLong : faultOf(this.method, pseudo(":scheme"), this.headers);
    const socket = stream.session?.socket;
    const servername = (socket as (TLSSocket & { servername?: string | false }) | undefined)?.servername;
    this.servername = typeof servername === "string" ? servername : undefined;
    this.peer = socket?.remoteAddress;
    this.#in = all.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    stream.on("error", () => undefined);
    // Of a stream that the visitor has reset without an error code Node keeps one half, which nobody can use.
    const leave = () => setImmediate(() => stream.destroy());
    if (stream.closed) leave();
    else stream.once("aborted", leave);
    stream.on("trailers", (_, __, fields) => {
      const trailers = headerList(fields);
      if (!isTooLong(trailers)) this.#trailers = trailers;
    });
    this.body = stream.endAfterHeaders ? undefined : this.#readBody();
  }

  get status(): number | undefined {
    return this.#status;
  }

  get rule(): string | undefined {
    return this.#rule;
  }

  trailers(): HeaderList {
    return this.#trailers;
  }

  begin(status: number, headers: HeaderList, alone = false): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed || stream.headersSent) return;
    stream.respond(
      [":status", status, ...headers.flat()] as never,
      alone ? { endStream: true } : { waitForTrailers: true },
    );
    this.#status = status;
    this.#out += headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    // Without a body, as after HEAD, Node ends the stream by itself.
    stream.once("wantTrailers", () => {
      try {
        stream.sendTrailers(trailersObject(this.#answerTrailers));
        // A visitor that still sends its body may stop (RFC 9113 8.1).
        if (this.body !== undefined && !stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
      } catch {
        stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      }
    });
  }

  write(chunk: Buffer): boolean {
    if (this.#stream.destroyed || this.#stream.writableEnded) return true;
    this.#out += chunk.length;
    return this.#stream.write(chunk);
  }

  end(trailers: HeaderList = []): void {
    this.#answerTrailers = trailers;
    if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#stream.end();
  }

  refuse(refusal: Refusal): void {
    this.#rule = refusal.rule;
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    if (stream.headersSent) {
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      return;
    }
    const [type, body] = bodyOf(refusal, this.headers);
    this.begin(refusal.status, [...answerHeaders(refusal, type), ["content-length", String(body.length)]]);
    if (this.method !== "HEAD") this.write(body);
    this.end();
    // Whoever reads no answer does not keep the stream.
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), limits.linger).unref();
    stream.once("close", () => clearTimeout(timer));
  }

  onDrain(listener: () => void): void {
    this.#stream.on("drain", listener);
  }

  onClose(listener: () => void): void {
    if (this.#stream.closed && this.#stream.destroyed) listener();
    else this.#stream.once("close", listener);
  }

  received(): number {
    return this.#received;
  }

  traffic(): { readonly bytesIn: number; readonly bytesOut: number } {
    const all = { bytesIn: this.#in, bytesOut: this.#out };
    this.#in = this.#out = 0;
    return all;
  }

  /** A stream of its own: whoever destroys the body must not end the answer, which is the same stream in HTTP/2. */
  #readBody(): Readable {
    const stream = this.#stream;
    const body = new PassThrough();
    body.on("error", () => undefined);
    stream.on("data", (chunk: Buffer) => {
      this.#in += chunk.length;
      this.#received += chunk.length;
      if (body.destroyed) return;
      if (!body.write(chunk)) stream.pause();
    });
    body.on("drain", () => stream.resume());
    // What nobody wants any more is read and dropped; the answer ends it.
    body.once("close", () => stream.resume());
    stream.once("end", () => body.end());
    stream.once("close", () => {
      if (!body.writableEnded) body.destroy(new Error("The visitor has disconnected."));
    });
    stream.pause();
    queueMicrotask(() => stream.resume());
    return body;
  }
}

/** A browser sends each cookie in a field of its own; in HTTP/1.1 they are one (RFC 9113 8.2.3). */
function joinCookies(headers: HeaderList): HeaderList {
  const cookies = headers.filter(([name]) => name === "cookie").map(([, value]) => value);
  if (cookies.length < 2) return headers;
  return [...headers.filter(([name]) => name !== "cookie"), ["cookie", cookies.join("; ")]];
}

const tooLong = `The header fields of the request are longer than ${limits.headerBytes} bytes.`;

/** By the measure of RFC 9113 6.5.2. Node enforces our limit only on visitors that have acknowledged our settings. */
function isTooLong(fields: HeaderList): boolean {
  return fields.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0) > limits.headerBytes;
}

/** Node checks the form of pseudo fields, and refuses those of a connection (RFC 9113 8.2.2). */
function faultOf(method: string, scheme: string | undefined, headers: HeaderList): string | undefined {
  if (method === "CONNECT") return "This is not a proxy.";
  if (scheme !== "https" && scheme !== "http") return "The scheme of a request must be https.";
  return framingFault(headers, "1.1");
}

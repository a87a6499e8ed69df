/** Relays a response to the guest: decoded if it must be searched, secrets replaced by placeholders, no faster than the guest reads. */
import type { Redactor } from "../../redact/redactor.ts";
import { Paced, tokenPatience } from "../../redact/paced.ts";
import { createDecoder, knownEncodings, type Decoder } from "../../redact/decode.ts";
import { UpstreamFailure } from "../../upstream/failure.ts";
import type { UpstreamCall } from "../../upstream/request.ts";
import { headerValue, listValue, type HeaderList } from "@caisson/http1";
import type { GuestReply } from "../model/guest.ts";
import { hasMessages } from "../model/media-types.ts";
import { responseHeaders } from "./headers.ts";
import type { Relay } from "./relay.ts";
import { RequestRefused } from "../model/outcome.ts";
import { hasTransferEncoding, hasForeignCharset, hidesMessages, isPart, isStored } from "./unreadable.ts";

/**
 * A body with a Content-Length up to this is collected, so that its length after redaction can be sent. In a longer one, replacements are as
 * long as what they replace.
 */
const collectLimit = 64 * 1024;
/** Milliseconds without data after which the last characters of a text are sent, although they may become a secret. */
const textPatience = 25;

export class ResponseRelay implements Relay {
  call: UpstreamCall | undefined;
  bytesIn = 0;
  status = 0;
  readonly #method: string;
  readonly #redactor: Redactor;
  readonly #reply: GuestReply;
  readonly #done: (error?: Error) => void;
  /** Absent where nothing needs to be searched. */
  #searched: Paced | undefined;
  /** The same for a compressed body, before it is decoded. */
  #compressed: Paced | undefined;
  #decoder: Decoder | undefined;
  #collected: Buffer[] | undefined;
  #headers: HeaderList = [];
  #trailers: HeaderList = [];
  #over = false;

  /** @param done called once, with an error when the response did not come whole */
  constructor(method: string, redactor: Redactor, reply: GuestReply, done: (error?: Error) => void) {
    this.#method = method;
    this.#redactor = redactor;
    this.#reply = reply;
    this.#done = done;
    reply.onDrain(() => {
      if (this.#decoder === undefined) this.call?.resume();
      else this.#decoder.output.resume();
      this.#searched?.resume();
    });
  }

  head(status: number, headers: HeaderList, ended: boolean): void {
    if (this.#over) return;
    this.status = status;
    const bodyless = ended || this.#method === "HEAD" || status === 204 || status === 304;
    const refuse = (why: string): void => this.fail(new RequestRefused(502, "unreadable-response", why));
    // This header is not forwarded, so the guest would take the encoded bytes for the body.
    if (!bodyless && hasTransferEncoding(headers))
      return refuse("The response has a Transfer-Encoding that was not requested.");
    if (!bodyless && isPart(status, headers))
      return refuse("The response is a part of a resource, which cannot be searched for secrets.");
    if (!bodyless && hasForeignCharset(headers))
      return refuse("The response is in a character set that cannot be searched for secrets.");
    const encodings = bodyless ? [] : knownEncodings(listValue(headers, "content-encoding"));
    if (encodings === undefined || hidesMessages(headers) || (encodings.length > 0 && status === 206))
      return refuse("The response has a Content-Encoding that cannot be searched for secrets.");
    this.#headers = responseHeaders(headers, this.#redactor, encodings.length > 0);
    const length = headerValue(this.#headers, "content-length");
    const long = length !== undefined && Number(length) > collectLimit;
    if (bodyless) {
      // Of a short body the length would say how long a value in it is.
      if (!long && !isStored(headers)) this.#dropLength();
      this.#reply.head(status, this.#headers, { ended: true });
      return;
    }
    const give = (pieces: readonly Buffer[]): void => this.#give(pieces);
    const messages = hasMessages(headers);
    this.#searched = messages
      ? new Paced(this.#redactor.stream("messages"), tokenPatience, give)
      : new Paced(this.#redactor.stream(long ? "sized" : "text"), textPatience, give);
    if (encodings.length > 0) this.#decode(encodings);
    if (!messages && !long) this.#dropLength();
    if (length !== undefined && !long) this.#collected = [];
    else this.#reply.head(status, this.#headers, { ended: false });
  }

  #dropLength(): void {
    this.#headers = this.#headers.filter(([name]) => name !== "content-length");
  }

  data(chunk: Buffer): void {
    if (this.#over) return;
    // Without a head it is not known how to search the body, so it must not be forwarded.
    if (this.status === 0)
      return this.fail(new UpstreamFailure("upstream-protocol", "The upstream sent a body before its head"));
    this.bytesIn += chunk.length;
    if (this.#compressed !== undefined) this.#compressed.push(chunk);
    else this.#take(chunk);
  }

  end(trailers: HeaderList): void {
    if (this.#over) return;
    if (this.status === 0)
      return this.fail(new UpstreamFailure("upstream-protocol", "The upstream ended its response before it began"));
    this.#trailers = trailers;
    if (this.#decoder === undefined) return this.#finish();
    this.#compressed?.end();
    this.#decoder.input.end();
  }

  fail(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#release();
    this.call?.abort(error);
    this.#done(error);
  }

  /**
   * The compressed bytes are searched as well. A guest that can choose the encoding of something stored can put a table in front of a value
   * that makes the decoder turn its letters into others. Once the value is overwritten in the compressed bytes, the table is useless.
   */
  #decode(encodings: readonly string[]): void {
    const { input, output } = (this.#decoder = createDecoder(encodings, (error) => this.fail(error)));
    const compressed = (this.#compressed = new Paced(this.#redactor.stream("unknown"), tokenPatience, (pieces) => {
      if (this.#over) return;
      let flows = true;
      for (const piece of pieces) flows = input.write(piece);
      if (flows) return;
      this.call?.pause();
      compressed.pause();
    }));
    input.on("drain", () => {
      this.call?.resume();
      compressed.resume();
    });
    output.on("data", (chunk: Buffer) => this.#take(chunk));
    output.on("end", () => this.#over || this.#finish());
  }

  #take(chunk: Buffer): void {
    if (this.#searched === undefined) this.#give([chunk]);
    else this.#searched.push(chunk);
  }

  #give(pieces: readonly Buffer[]): void {
    if (this.#over) return;
    if (this.#collected !== undefined) {
      this.#collected.push(...pieces);
      return;
    }
    let flows = true;
    for (const piece of pieces) flows = this.#reply.write(piece) && flows;
    if (flows) return;
    this.#searched?.pause();
    if (this.#decoder === undefined) this.call?.pause();
    else this.#decoder.output.pause();
  }

  /** An upstream may send more than Node is willing to write; the exchange fails then. */
  #finish(): void {
    try {
      this.#searched?.end();
      if (this.#collected !== undefined) {
        const body = Buffer.concat(this.#collected);
        this.#reply.head(this.status, [...this.#headers, ["content-length", String(body.length)]], { ended: false });
        if (body.length > 0) this.#reply.write(body);
      }
      this.#reply.end(responseHeaders(this.#trailers, this.#redactor));
    } catch (error) {
      return this.fail(error as Error);
    }
    this.#over = true;
    this.#release();
    this.#done();
  }

  #release(): void {
    this.#searched?.stop();
    this.#compressed?.stop();
    this.#decoder?.input.destroy();
  }
}

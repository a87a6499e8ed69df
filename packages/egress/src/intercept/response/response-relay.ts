/** Relays a response to the guest: decoded if it must be searched, secrets replaced by placeholders, no faster than the guest reads. */
import { Paced, tokenPatience } from "../../redact/paced.ts";
import { createDecoder, knownEncodings, type Decoder } from "../../redact/decode.ts";
import { headerValue, listValue, type HeaderList } from "@caisson/http1";
import { hasMessages } from "../model/media-types.ts";
import { responseHeaders } from "./headers.ts";
import { Relay, unreadable } from "./relay.ts";
import { hasForeignCharset, hidesMessages, isPart, isStored } from "./unreadable.ts";

/**
 * A body with a Content-Length up to this is collected, so that its length after redaction can be sent. In a longer one, replacements are as
 * long as what they replace.
 */
const collectLimit = 64 * 1024;
/** Milliseconds without data after which the last characters of a text are sent, although they may become a secret. */
const textPatience = 25;

export class ResponseRelay extends Relay {
  /** Absent where nothing needs to be searched. */
  #searched: Paced | undefined;
  /** The same for a compressed body, before it is decoded. */
  #compressed: Paced | undefined;
  #decoder: Decoder | undefined;
  #collected: Buffer[] | undefined;
  #headers: HeaderList = [];
  #trailers: HeaderList = [];

  protected drained(): void {
    if (this.#decoder === undefined) this.call?.resume();
    else this.#decoder.output.resume();
    this.#searched?.resume();
  }

  protected takeHead(headers: HeaderList, bodyless: boolean): void {
    const { status } = this;
    const refuse = (why: string): void => this.fail(unreadable(why));
    if (!bodyless && isPart(status, headers))
      return refuse("The response is a part of a resource, which cannot be searched for secrets.");
    if (!bodyless && hasForeignCharset(headers))
      return refuse("The response is in a character set that cannot be searched for secrets.");
    const encodings = bodyless ? [] : knownEncodings(listValue(headers, "content-encoding"));
    if (encodings === undefined || hidesMessages(headers) || (encodings.length > 0 && status === 206))
      return refuse("The response has a Content-Encoding that cannot be searched for secrets.");
    this.#headers = responseHeaders(headers, this.redactor, encodings.length > 0);
    const length = headerValue(this.#headers, "content-length");
    const long = length !== undefined && Number(length) > collectLimit;
    if (bodyless) {
      // Of a short body the length would say how long a value in it is.
      if (!long && !isStored(headers)) this.#dropLength();
      this.reply.head(status, this.#headers, { ended: true });
      return;
    }
    const give = (pieces: readonly Buffer[]): void => this.#give(pieces);
    const failed = (error: Error): void => this.fail(error);
    const messages = hasMessages(headers);
    this.#searched = messages
      ? new Paced(this.redactor.stream("messages"), tokenPatience, give, failed)
      : new Paced(this.redactor.stream(long ? "sized" : "text"), textPatience, give, failed);
    if (encodings.length > 0) this.#decode(encodings);
    // Sent with the collected body, or not at all.
    if (!long) this.#dropLength();
    if (length !== undefined && !long) this.#collected = [];
    else this.reply.head(status, this.#headers, { ended: false });
  }

  #dropLength(): void {
    this.#headers = this.#headers.filter(([name]) => name !== "content-length");
  }

  protected takeData(chunk: Buffer): void {
    if (this.#compressed !== undefined) this.#compressed.push(chunk);
    else this.#take(chunk);
  }

  protected takeEnd(trailers: HeaderList): void {
    this.#trailers = trailers;
    if (this.#decoder === undefined) return this.#finish();
    this.#compressed?.end();
    this.#decoder.input.end();
  }

  /**
   * The compressed bytes are searched as well. A guest that can choose the encoding of something stored can put a table in front of a value
   * that makes the decoder turn its letters into others. Once the value is overwritten in the compressed bytes, the table is useless.
   */
  #decode(encodings: readonly string[]): void {
    const { input, output } = (this.#decoder = createDecoder(encodings, (error) => this.fail(error)));
    const decode = (pieces: readonly Buffer[]): void => {
      if (this.over) return;
      let flows = true;
      for (const piece of pieces) flows = input.write(piece);
      if (flows) return;
      this.call?.pause();
      compressed.pause();
    };
    const compressed = new Paced(this.redactor.stream("unknown"), tokenPatience, decode, (error) => this.fail(error));
    this.#compressed = compressed;
    input.on("drain", () => {
      this.call?.resume();
      compressed.resume();
    });
    output.on("data", (chunk: Buffer) => this.guarded(() => this.#take(chunk)));
    output.on("end", () => this.over || this.#finish());
  }

  #take(chunk: Buffer): void {
    if (this.#searched === undefined) this.#give([chunk]);
    else this.#searched.push(chunk);
  }

  #give(pieces: readonly Buffer[]): void {
    if (this.over) return;
    if (this.#collected !== undefined) {
      this.#collected.push(...pieces);
      return;
    }
    let flows = true;
    for (const piece of pieces) flows = this.reply.write(piece) && flows;
    if (flows) return;
    this.#searched?.pause();
    if (this.#decoder === undefined) this.call?.pause();
    else this.#decoder.output.pause();
  }

  /** An upstream may send more than Node is willing to write; the exchange fails then. */
  #finish(): void {
    this.guarded(() => {
      this.#searched?.end();
      if (this.#collected !== undefined) {
        const body = Buffer.concat(this.#collected);
        this.reply.head(this.status, [...this.#headers, ["content-length", String(body.length)]], { ended: false });
        if (body.length > 0) this.reply.write(body);
      }
      this.reply.end(responseHeaders(this.#trailers, this.redactor));
      this.complete();
    });
  }

  protected release(): void {
    this.#searched?.stop();
    this.#compressed?.stop();
    this.#decoder?.input.destroy();
  }
}

/** Carries a response to the guest: decoded where it must be read, secrets turned back, no faster than the guest takes it. */
import type { Redactor } from "../redact/redactor.ts";
import { createDecoder, knownCodings, type Decoder } from "../redact/decode.ts";
import { UpstreamFailure } from "../replay/failure.ts";
import type { UpstreamCall, UpstreamHandler } from "../replay/upstream.ts";
import type { HeaderList } from "../secrets/substitute.ts";
import type { GuestReply } from "./guest.ts";
import { hasMessages, headerValue, listValue, responseHeaders } from "./headers.ts";
import { Refusal } from "./refusal.ts";
import { codedForTransfer, hasForeignCharset, hidesMessages, isPart } from "./unreadable.ts";

/** A body announced to be no longer than this is collected, so that its length can be told right after redaction. */
const collectLimit = 64 * 1024;
/** After so many milliseconds of silence the first letters of what may become a secret are let go. */
const idleAfter = 25;

export interface RelayResult {
  readonly status: number;
  readonly bytesIn: number;
}

export class ResponseRelay implements Omit<UpstreamHandler, "upgraded"> {
  /** Set right after the call was made. */
  call: UpstreamCall | undefined;
  bytesIn = 0;
  status = 0;
  readonly #method: string;
  readonly #redactor: Redactor;
  readonly #reply: GuestReply;
  readonly #done: (error?: Error) => void;
  #rewriter: ReturnType<Redactor["stream"]> | undefined;
  #decoder: Decoder | undefined;
  #collected: Buffer[] | undefined;
  #headers: [string, string][] = [];
  #trailers: HeaderList = [];
  #idle: NodeJS.Timeout | undefined;
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
    });
  }

  head(status: number, headers: HeaderList, ended: boolean): void {
    if (this.#over) return;
    this.status = status;
    const reads = this.#redactor.active;
    const bodyless = ended || this.#method === "HEAD" || status === 204 || status === 304;
    const refuse = (why: string): void => this.fail(new Refusal(502, "unreadable-response", why));
    // The header ends here, and the guest would take the coded bytes for the body.
    if (!bodyless && codedForTransfer(headers)) return refuse("The response has a transfer coding nobody asked for.");
    if (reads && !bodyless && isPart(status, headers))
      return refuse("The response is a part of an answer, which cannot be searched for secrets.");
    if (reads && !bodyless && hasForeignCharset(headers))
      return refuse("The response is in a character set that cannot be searched for secrets.");
    const codings = reads && !bodyless ? knownCodings(listValue(headers, "content-encoding")) : [];
    if (codings === undefined || (reads && hidesMessages(headers)) || (codings.length > 0 && status === 206))
      return refuse("The response is encoded in a way that cannot be searched for secrets.");
    this.#headers = responseHeaders(headers, this.#redactor, codings.length > 0);
    // A length without its body is that of the unredacted one; with the body none or another is told.
    if (reads && (this.#method === "HEAD" || status === 304))
      this.#headers = this.#headers.filter(([name]) => name !== "content-length");
    if (bodyless || !reads) {
      this.#reply.head(status, this.#headers, { ended: bodyless });
      return;
    }
    this.#rewriter = this.#redactor.stream(hasMessages(headers) ? "messages" : "text");
    if (codings.length > 0) this.#decode(codings);
    const length = headerValue(this.#headers, "content-length");
    if (!hasMessages(headers)) this.#headers = this.#headers.filter(([name]) => name !== "content-length");
    if (length !== undefined && Number(length) <= collectLimit) this.#collected = [];
    else this.#reply.head(status, this.#headers, { ended: false });
  }

  data(chunk: Buffer): void {
    if (this.#over) return;
    // Without a head it is not known how to read the body, and unread it does not go on.
    if (this.status === 0)
      return this.fail(new UpstreamFailure("upstream-protocol", "The host sent a body before its head"));
    this.bytesIn += chunk.length;
    if (this.#decoder === undefined) this.#take(chunk);
    else if (!this.#decoder.input.write(chunk)) this.call?.pause();
  }

  end(trailers: HeaderList): void {
    if (this.#over) return;
    if (this.status === 0)
      return this.fail(new UpstreamFailure("upstream-protocol", "The host ended its answer before it began"));
    this.#trailers = trailers;
    if (this.#decoder === undefined) this.#finish();
    else this.#decoder.input.end();
  }

  fail(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#release();
    this.call?.abort(error);
    this.#done(error);
  }

  #decode(codings: readonly string[]): void {
    this.#decoder = createDecoder(codings, (error) => this.fail(error));
    this.#decoder.input.on("drain", () => this.call?.resume());
    this.#decoder.output.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#decoder.output.on("end", () => this.#over || this.#finish());
  }

  #take(chunk: Buffer): void {
    if (this.#rewriter === undefined) return this.#give([chunk]);
    clearTimeout(this.#idle);
    this.#give(this.#rewriter.push(chunk));
    if (this.#rewriter.waits) this.#idle = setTimeout(() => this.#give(this.#rewriter!.idle()), idleAfter);
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
    if (this.#decoder === undefined) this.call?.pause();
    else this.#decoder.output.pause();
  }

  /** What an upstream says may be more than Node is willing to write. The exchange ends then too, and not before it is known. */
  #finish(): void {
    try {
      this.#give(this.#rewriter?.end() ?? []);
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
    clearTimeout(this.#idle);
    this.#decoder?.input.destroy();
  }
}

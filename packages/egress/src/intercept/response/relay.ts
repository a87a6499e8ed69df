/** What brings a response to the guest, as far as it does not depend on whether the response may be changed. */
import type { HeaderList } from "@caisson/http1";
import type { Redactor } from "../../redact/redactor.ts";
import { UpstreamFailure } from "../../upstream/failure.ts";
import type { UpstreamCall, UpstreamHandler } from "../../upstream/request.ts";
import type { GuestReply } from "../model/guest.ts";
import { RequestRefused } from "../model/outcome.ts";
import { hasTransferEncoding } from "./unreadable.ts";

export abstract class Relay implements Omit<UpstreamHandler, "upgraded"> {
  /** Set right after the call was made. */
  call: UpstreamCall | undefined;
  bytesIn = 0;
  /** 0 until the response has begun. */
  status = 0;
  protected readonly redactor: Redactor;
  protected readonly reply: GuestReply;
  protected over = false;
  readonly #method: string;
  readonly #done: (error?: Error) => void;

  /** @param done called once, with an error when the response did not come whole */
  constructor(method: string, redactor: Redactor, reply: GuestReply, done: (error?: Error) => void) {
    this.#method = method;
    this.redactor = redactor;
    this.reply = reply;
    this.#done = done;
    reply.onDrain(() => this.drained());
  }

  protected abstract takeHead(headers: HeaderList, bodyless: boolean): void;
  protected abstract takeData(chunk: Buffer): void;
  protected abstract takeEnd(trailers: HeaderList): void;
  /** The guest reads again. */
  protected abstract drained(): void;
  /** Ends timers and decoders. */
  protected abstract release(): void;

  head(status: number, headers: HeaderList, ended: boolean): void {
    if (this.over) return;
    this.status = status;
    const bodyless = ended || this.#method === "HEAD" || status === 204 || status === 304;
    // This header is not forwarded, so the guest would take the encoded bytes for the body.
    if (!bodyless && hasTransferEncoding(headers))
      return this.fail(unreadable("The response has a Transfer-Encoding that was not requested."));
    this.takeHead(headers, bodyless);
  }

  data(chunk: Buffer): void {
    if (this.over) return;
    // Without a head it is not known how to search the body, so it must not be forwarded.
    if (this.status === 0)
      return this.fail(new UpstreamFailure("upstream-protocol", "The upstream sent a body before its head"));
    this.bytesIn += chunk.length;
    this.takeData(chunk);
  }

  end(trailers: HeaderList): void {
    if (this.over) return;
    if (this.status === 0)
      return this.fail(new UpstreamFailure("upstream-protocol", "The upstream ended its response before it began"));
    this.takeEnd(trailers);
  }

  fail(error: Error): void {
    if (this.over) return;
    this.over = true;
    this.release();
    this.call?.abort(error);
    this.#done(error);
  }

  /** The guest has got all of it. */
  protected complete(): void {
    this.over = true;
    this.release();
    this.#done();
  }

  /** For steps that a decoder or a timer calls, where nobody else would catch what they throw. */
  protected guarded(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.fail(error as Error);
    }
  }
}

export const unreadable = (why: string): RequestRefused => new RequestRefused(502, "unreadable-response", why);

/**
 * Relays a response of an upstream that no secret is for, byte for byte: lengths, ranges, encodings and digests stay. It is only searched,
 * also inside its compression, because another host may have got a value from one that the secret is for. A hit ends the exchange.
 */
import { headerValue, listValue, type HeaderList } from "@caisson/http1";
import { createDecoder, knownEncodings, type Decoder } from "../../redact/decode.ts";
import { Paced, tokenPatience } from "../../redact/paced.ts";
import { SecretReturned } from "../../redact/redactor.ts";
import { forwardable } from "./headers.ts";
import { Relay, unreadable } from "./relay.ts";

/** Bytes of a compressed body that wait until what they decode to has been searched. */
const mayQueue = 256 * 1024;
/**
 * A guest need not read what a body decodes to, so nothing slows the search of a body that grows without end. More than this many bytes may
 * be at most so many times as long as the compressed ones. gzip and deflate reach 1,032.
 */
const mayGrow = { bytes: 64 * 1024 * 1024, times: 1100 } as const;

interface Compressed {
  readonly bytes: Buffer;
  /** How much of the decoded body is there when these bytes have been decoded. */
  decoded: number | undefined;
}

export class UnchangedRelay extends Relay {
  #searched: Paced | undefined;
  #decoder: Decoder | undefined;
  #inside: Paced | undefined;
  /** Bytes of the decoded body that have come, and that have been searched. */
  #decoded = 0;
  #cleared = 0;
  #queue: Compressed[] = [];
  #queued = 0;
  #trailers: HeaderList | undefined;
  /** Sends the head of a body of known length, which nobody needs before the body: a hit at its beginning can then be explained. */
  #begin: (() => void) | undefined;
  /** A body that came in one piece goes on when all of it has been searched. */
  #length = 0;
  #whole: Buffer[] | undefined;
  /** Whether the guest has yet to read what it was sent. */
  #blocked = false;

  protected drained(): void {
    this.#blocked = false;
    this.#inside?.resume();
    this.#flow();
  }

  protected takeHead(headers: HeaderList, bodyless: boolean): void {
    const { status } = this;
    const forwarded = this.#check(headers);
    const begin = (): void => {
      this.#begin = undefined;
      this.reply.head(status, forwarded, { ended: bodyless });
    };
    if (bodyless || !this.redactor.active) return begin();
    const length = headerValue(headers, "content-length");
    if (length === undefined) begin();
    else [this.#begin, this.#length] = [begin, Number(length)];
    this.#searched = this.#paced((pieces) => this.#afterSearch(pieces));
    const encodings = knownEncodings(listValue(headers, "content-encoding"));
    // A part cannot be decoded, and several layers occur only where somebody stored them so.
    if (encodings?.length === 1 && listValue(headers, "content-range") === "" && status !== 206) this.#look(encodings);
  }

  protected takeData(chunk: Buffer): void {
    if (this.#begin !== undefined && chunk.length === this.#length) this.#whole = [];
    if (this.#searched === undefined) this.#give(chunk);
    else this.#searched.push(chunk);
  }

  protected takeEnd(trailers: HeaderList): void {
    this.#trailers = this.#check(trailers);
    this.#searched?.end();
    if (this.#decoder === undefined) this.#finish();
    else this.#decoder.input.end();
  }

  /** @throws SecretReturned when a value is in one of the fields */
  #check(headers: HeaderList): HeaderList {
    if (this.redactor.active && this.redactor.finds(headers.flat().join("\n"))) throw new SecretReturned();
    // From a forward proxy that the program has chosen itself.
    const challenge = this.status === 407 ? headers.filter(([name]) => name === "proxy-authenticate") : [];
    return [...forwardable(headers), ...challenge];
  }

  #look(encodings: readonly string[]): void {
    const { input, output } = (this.#decoder = createDecoder(encodings, () => this.guarded(() => this.#lookNoMore())));
    this.#inside = this.#paced((pieces) => {
      for (const { length } of pieces) this.#cleared += length;
      this.#letGo();
    });
    output.on("data", (chunk: Buffer) => {
      this.#decoded += chunk.length;
      if (this.over) return;
      if (this.#decoded > mayGrow.bytes && this.#decoded > mayGrow.times * this.bytesIn)
        return this.fail(
          unreadable("The response grows so much when it is decompressed that it is not searched for secrets."),
        );
      this.guarded(() => this.#inside?.push(chunk));
    });
    output.on("end", () => this.guarded(() => this.#lookNoMore()));
    input.on("drain", () => this.#flow());
  }

  /** The body has ended, or it is not what its header says: a program gets no more out of it than the search did. */
  #lookNoMore(): void {
    if (this.over || this.#decoder === undefined) return;
    this.#decoder = undefined;
    this.#inside?.end();
    for (const { bytes } of this.#queue.splice(0)) this.#give(bytes);
    this.#queued = 0;
    if (this.#trailers === undefined) this.#flow();
    else this.#finish();
  }

  #afterSearch(pieces: readonly Buffer[]): void {
    for (const bytes of pieces) {
      const { input } = this.#decoder ?? {};
      if (input === undefined) this.#give(bytes);
      else {
        const waiting: Compressed = { bytes, decoded: undefined };
        this.#queue.push(waiting);
        this.#queued += bytes.length;
        input.write(bytes, () => {
          waiting.decoded = this.#decoded;
          if (!this.over) this.guarded(() => this.#letGo());
        });
      }
    }
    if (this.#queued > mayQueue || this.#decoder?.input.writableNeedDrain === true) this.#stop();
  }

  #letGo(): void {
    while (this.#queue[0]?.decoded !== undefined && this.#queue[0].decoded <= this.#cleared) {
      const { bytes } = this.#queue.shift()!;
      this.#queued -= bytes.length;
      this.#give(bytes);
    }
    this.#flow();
  }

  #give(bytes: Buffer): void {
    if (this.over) return;
    if (this.#whole !== undefined) return void this.#whole.push(bytes);
    this.#begin?.();
    if (this.reply.write(bytes)) return;
    this.#blocked = true;
    // Or a guest that stops reading could choose where a value is cut.
    this.#inside?.pause();
    this.#stop();
  }

  #stop(): void {
    this.call?.pause();
    this.#searched?.pause();
  }

  #flow(): void {
    const full = this.#blocked || this.#queued > mayQueue || this.#decoder?.input.writableNeedDrain === true;
    if (this.over || full) return;
    this.call?.resume();
    this.#searched?.resume();
  }

  #finish(): void {
    this.#begin?.();
    for (const bytes of this.#whole ?? []) this.reply.write(bytes);
    this.reply.end(this.#trailers!);
    this.complete();
  }

  #paced(give: (pieces: readonly Buffer[]) => void): Paced {
    return new Paced(this.redactor.watch(), tokenPatience, give, (error) => this.fail(error));
  }

  protected release(): void {
    this.#searched?.stop();
    this.#inside?.stop();
    this.#decoder?.input.destroy();
    this.#queue = [];
  }
}

/** One stream from a client: what arrives is kept until a request reads it. */
import type { SerialisedError } from "@caisson/api";
import { Readable } from "node:stream";
import type { Hold } from "../../kernel/memory/budget.ts";
import type { Turn } from "../../kernel/turns.ts";
import { OperationFailure } from "../errors.ts";
import type { LongText } from "../incoming/long-text.ts";
import type { ReceiveBudget } from "./receive-budget.ts";

/** To end it early, destroy it: the client gets a `cancel`. `InboundStreams.forget` ends it without one. */
export class InboundStream extends Readable {
  readonly streamId: number;
  /** Called for every frame. */
  onFrame: (() => void) | undefined;
  readonly #budget: ReceiveBudget;
  readonly #turn: Turn;
  readonly #onDestroy: (stream: InboundStream) => void;
  #queue: Buffer[] = [];
  #queued = 0;
  /** Long pieces in base64 that are decoded as they are read. */
  readonly #long: { readonly pieces: Iterator<Buffer>; readonly hold: Hold | undefined }[] = [];
  #ended = false;
  #hungry = false;
  /** Waits for time. */
  #later = false;
  /** Called when anything arrives, see `whole`. */
  #changed: (() => void) | undefined;

  /** @param turn of the organisation */
  constructor(streamId: number, budget: ReceiveBudget, turn: Turn, onDestroy: (stream: InboundStream) => void) {
    super({ highWaterMark: 64 * 1024, autoDestroy: true });
    this.streamId = streamId;
    this.#budget = budget;
    this.#turn = turn;
    this.#onDestroy = onDestroy;
    // A stream may fail before anything listens for errors.
    this.on("error", () => {});
  }

  get queuedBytes(): number {
    return this.#queued;
  }

  /** Whether the client has sent `end` or `error`. */
  get complete(): boolean {
    return this.#ended;
  }

  enqueue(data: Buffer): void {
    this.onFrame?.();
    if (this.#ended || this.destroyed || data.length === 0) return;
    if (this.#long.length > 0) return void this.#long.push({ pieces: [data].values(), hold: undefined });
    this.#queue.push(data);
    this.#queued += data.length;
    this.#budget.add(data.length);
    if (this.#hungry) this.#feed();
    this.#changed?.();
  }

  /** @param hold memory of the text. The stream releases it */
  enqueueLong(text: LongText, hold: Hold | undefined): void {
    this.onFrame?.();
    if (this.#ended || this.destroyed) return hold?.release();
    this.#long.push({ pieces: text.base64(), hold });
    if (this.#hungry) this.#feed();
    this.#changed?.();
  }

  end(): void {
    this.onFrame?.();
    this.#ended = true;
    if (this.#hungry) this.#feed();
    this.#changed?.();
  }

  /**
   * All of a small content, when the client sends its end soon. It counts as unread until the stream is destroyed. Nobody may have
   * read from the stream before.
   * @param limit bytes
   * @param patience milliseconds
   * @returns undefined when there is more, or when it takes longer: read the stream
   * @throws what made the stream fail, or the reason of the signal
   */
  async whole(limit: number, patience: number, signal: AbortSignal): Promise<Buffer | undefined> {
    signal.throwIfAborted();
    const waiting = Promise.withResolvers<void>();
    const wake = () => waiting.resolve();
    const decided = () => this.#ended || this.destroyed || this.#queued > limit || this.#long.length > 0;
    this.#changed = () => {
      if (decided()) wake();
    };
    this.#changed();
    const timer = setTimeout(wake, patience);
    signal.addEventListener("abort", wake, { once: true });
    await waiting.promise;
    clearTimeout(timer);
    signal.removeEventListener("abort", wake);
    this.#changed = undefined;
    signal.throwIfAborted();
    if (this.errored) throw this.errored;
    const small = this.#queued <= limit && this.#long.length === 0;
    return this.#ended && !this.destroyed && small ? Buffer.concat(this.#queue) : undefined;
  }

  fail(error: SerialisedError): void {
    this.#ended = true;
    this.destroy(new OperationFailure(error));
  }

  override _read(): void {
    this.#turn.enter();
    this.#hungry = true;
    this.#feed();
  }

  #feed(): void {
    while (this.#hungry && this.#queue.length > 0) {
      const data = this.#queue.shift() as Buffer;
      this.#queued -= data.length;
      this.#hungry = this.push(data);
      this.#budget.release(data.length);
    }
    if (this.#hungry && this.#long.length > 0) this.#feedLong();
    if (this.#hungry && this.#ended && this.#queue.length === 0 && this.#long.length === 0) {
      this.#hungry = false;
      this.push(null);
    }
  }

  /** One frame is read to its end before the next: a client that sends long frames sends few. */
  #feedLong(): void {
    try {
      for (let first = this.#long[0]; this.#hungry && first !== undefined; first = this.#long[0]) {
        if (!this.#turn.hasTime()) return this.#feedLater();
        const { done, value } = first.pieces.next() as IteratorResult<Buffer, undefined>;
        if (done !== true) this.#hungry = this.push(value);
        else {
          first.hold?.release();
          this.#long.shift();
        }
      }
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #feedLater(): void {
    if (this.#later) return;
    this.#later = true;
    this.#turn.next(() => {
      this.#later = false;
      if (!this.destroyed) this.#feed();
    });
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#budget.release(this.#queued);
    this.#queue = [];
    this.#queued = 0;
    for (const { hold } of this.#long.splice(0)) hold?.release();
    this.#changed?.();
    this.#onDestroy(this);
    callback(error);
  }
}

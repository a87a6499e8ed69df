/** Streams from a client to the server (wire contract 3.3): stdin, file contents, fetch bodies. A stream is kept from `start` until a request claims it. */
import type { SerialisedError } from "@caisson/api";
import { Readable } from "node:stream";
import { z } from "zod";
import { OperationFailure, typeError } from "../errors.ts";
import { notificationFrame } from "../frames.ts";
import type { Sender } from "../sender.ts";
import { ReceiveBudget, type BudgetOwner } from "./receive-budget.ts";

/** Open streams of one connection. */
const maxStreams = 1024;

const idSchema = z.object({ streamId: z.number() });
const enqueueSchema = z.object({ streamId: z.number(), data: z.string() });
const errorSchema = z.object({
  streamId: z.number(),
  // The Python client sends plain text.
  error: z
    .union([
      z.string(),
      z.object({
        constructorName: z.string(),
        message: z.string(),
        name: z.string().nullish(),
        code: z.string().nullish(),
      }),
    ])
    .nullish(),
});

/** To end it early, destroy it: the client gets a `cancel`. */
export class InboundStream extends Readable {
  readonly streamId: number;
  /** Called for every frame. */
  onFrame: (() => void) | undefined;
  readonly #budget: ReceiveBudget;
  readonly #onDestroy: (stream: InboundStream) => void;
  #queue: Buffer[] = [];
  #queued = 0;
  #ended = false;
  #hungry = false;
  /** Called when anything arrives, see `whole`. */
  #changed: (() => void) | undefined;

  constructor(streamId: number, budget: ReceiveBudget, onDestroy: (stream: InboundStream) => void) {
    super({ highWaterMark: 64 * 1024, autoDestroy: true });
    this.streamId = streamId;
    this.#budget = budget;
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
    this.#queue.push(data);
    this.#queued += data.length;
    this.#budget.add(data.length);
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
    const decided = () => this.#ended || this.destroyed || this.#queued > limit;
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
    return this.#ended && !this.destroyed && this.#queued <= limit ? Buffer.concat(this.#queue) : undefined;
  }

  fail(error: SerialisedError): void {
    this.#ended = true;
    this.destroy(new OperationFailure(error));
  }

  override _read(): void {
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
    if (this.#hungry && this.#ended && this.#queue.length === 0) {
      this.#hungry = false;
      this.push(null);
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#budget.release(this.#queued);
    this.#queue = [];
    this.#queued = 0;
    this.#changed?.();
    this.#onDestroy(this);
    callback(error);
  }
}

export class InboundStreams {
  readonly #sender: Sender;
  readonly #budget: ReceiveBudget;
  readonly #open = new Map<number, InboundStream>();
  readonly #unclaimed = new Set<number>();
  #closed = false;

  constructor(sender: Sender, reading: Pick<BudgetOwner, "pause" | "resume">) {
    this.#sender = sender;
    this.#budget = new ReceiveBudget({ ...reading, dropLargest: () => this.#dropLargest() });
  }

  /** Whether we stopped reading from the client. */
  get paused(): boolean {
    return this.#budget.paused;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Handles a notification of the stream protocol. Invalid ones, and those for streams that are not open, are ignored. */
  receive(method: string, params: unknown): void {
    if (method === "$sandbox.stream.start") {
      const id = idSchema.safeParse(params).data?.streamId;
      if (id !== undefined && !this.#open.has(id)) this.#start(id);
    } else if (method === "$sandbox.stream.enqueue") {
      const frame = enqueueSchema.safeParse(params).data;
      if (frame !== undefined) this.#open.get(frame.streamId)?.enqueue(Buffer.from(frame.data, "base64"));
    } else if (method === "$sandbox.stream.end") {
      this.#open.get(idSchema.safeParse(params).data?.streamId ?? Number.NaN)?.end();
    } else if (method === "$sandbox.stream.error") {
      const frame = errorSchema.safeParse(params).data;
      if (frame !== undefined) this.#open.get(frame.streamId)?.fail(asError(frame.error));
    }
  }

  #start(id: number): void {
    if (this.#open.size >= maxStreams) {
      this.#sender.send(cancelFrame(id, `This connection already has ${maxStreams} open streams, the limit.`));
      return;
    }
    this.#open.set(id, new InboundStream(id, this.#budget, (stream) => this.#ended(stream)));
    this.#unclaimed.add(id);
  }

  #ended(stream: InboundStream): void {
    this.#open.delete(stream.streamId);
    this.#unclaimed.delete(stream.streamId);
    if (!stream.complete && !this.#closed)
      this.#sender.send(cancelFrame(stream.streamId, "The receiver needs no more data."));
  }

  /** Gives a stream to the request that names it. @throws OperationFailure when there is no such stream, or another request has it */
  claim(id: number): InboundStream {
    const stream = this.#open.get(id);
    if (stream === undefined || !this.#unclaimed.delete(id))
      throw typeError(`Stream ${id} was not started, or another request uses it.`);
    return stream;
  }

  /** Drops a stream if no request has claimed it. */
  discardUnclaimed(id: number): void {
    if (this.#unclaimed.has(id)) this.#open.get(id)?.destroy();
  }

  #dropLargest(): void {
    const largest = [...this.#open.values()].sort((a, b) => b.queuedBytes - a.queuedBytes)[0];
    largest?.destroy(
      new OperationFailure({
        constructorName: "Error",
        message: "The data of this stream was read too slowly, and the buffer of the connection is full.",
        code: null,
      }),
    );
  }

  /** The connection ends. What was not read is lost. */
  close(): void {
    this.#closed = true;
    for (const stream of this.#open.values()) {
      if (!stream.complete)
        stream.destroy(
          new OperationFailure({
            constructorName: "ConnectionAborted",
            message: "The client disconnected.",
            code: null,
          }),
        );
    }
    this.#budget.close();
  }
}

function asError(error: z.infer<typeof errorSchema>["error"]): SerialisedError {
  if (typeof error === "object" && error !== null)
    return { ...error, message: error.message.slice(0, 4096), constructorName: error.constructorName.slice(0, 128) };
  return { constructorName: "Error", message: (error ?? "The client could not produce the data.").slice(0, 4096) };
}

function cancelFrame(streamId: number, message: string): string {
  return notificationFrame("$sandbox.stream.cancel", {
    streamId,
    reason: { constructorName: "Error", message, code: null },
  });
}

/** Streams from a client to the server (wire contract 3.3): stdin, file contents, fetch bodies. A stream is kept from `start` until a request claims it. */
import type { SerialisedError } from "@caisson/api";
import { z } from "zod";
import type { Hold } from "../../kernel/memory/budget.ts";
import type { Turn } from "../../kernel/turns.ts";
import { OperationFailure, typeError } from "../errors.ts";
import { notificationFrame } from "../frames.ts";
import type { LongText } from "../incoming/long-text.ts";
import { isLongText } from "../incoming/parse.ts";
import type { Memory } from "../memory/ledger.ts";
import type { Sender } from "../sender.ts";
import { InboundStream } from "./inbound-stream.ts";
import { ReceiveBudget, type BudgetOwner } from "./receive-budget.ts";

/** Open streams of one connection. */
const maxStreams = 1024;
/** Number of streams of ended processes that are remembered. Data for older ones is dropped and not counted. */
const maxDropped = 256;
/** Data that a client may send to a process that has ended. After that its stream is cancelled. Bytes of base64. */
const droppedBytes = 2 ** 20;
/** Memory of a stream: its state, and what is on its way into the sandbox. Bytes. */
const streamBytes = 64 * 1024;

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

export class InboundStreams {
  readonly #sender: Sender;
  readonly #budget: ReceiveBudget;
  readonly #open = new Map<number, InboundStream>();
  readonly #unclaimed = new Set<number>();
  readonly #memory: Memory;
  readonly #turn: Turn;
  readonly #holds = new Map<number, Hold>();
  /** By id of a forgotten stream: bytes of base64 that have arrived since. */
  readonly #dropped = new Map<number, number>();
  #closed = false;

  /** @param turn of the organisation */
  constructor(sender: Sender, reading: Pick<BudgetOwner, "pause" | "resume">, memory: Memory, turn: Turn) {
    this.#turn = turn;
    this.#sender = sender;
    this.#memory = memory;
    this.#budget = new ReceiveBudget({ ...reading, dropLargest: () => this.#dropLargest() }, memory.content);
  }

  /** Whether we stopped reading from the client. */
  get paused(): boolean {
    return this.#budget.paused;
  }

  get size(): number {
    return this.#open.size;
  }

  /**
   * Handles a notification of the stream protocol. Invalid ones, and those for streams that are not open, are ignored.
   * @param long data that is too long for the rest of its frame
   * @param hold memory of the frame
   * @returns whether a stream releases `hold`
   */
  receive(method: string, params: unknown, long?: LongText, hold?: Hold): boolean {
    if (method === "$sandbox.stream.start") {
      const id = idSchema.safeParse(params).data?.streamId;
      if (id !== undefined && !this.#open.has(id)) {
        this.#dropped.delete(id);
        this.#start(id);
      }
    } else if (method === "$sandbox.stream.enqueue") {
      const frame = enqueueSchema.safeParse(params).data;
      const stream = frame === undefined ? undefined : this.#open.get(frame.streamId);
      if (long !== undefined && stream !== undefined && isLongText(frame?.data)) {
        stream.enqueueLong(long, hold);
        return true;
      }
      if (frame !== undefined && stream === undefined) this.#drop(frame.streamId, long?.length ?? frame.data.length);
      else if (frame !== undefined && long === undefined) stream?.enqueue(Buffer.from(frame.data, "base64"));
    } else if (method === "$sandbox.stream.end") {
      const id = idSchema.safeParse(params).data?.streamId ?? Number.NaN;
      this.#open.get(id)?.end();
      this.#dropped.delete(id);
    } else if (method === "$sandbox.stream.error") {
      const frame = errorSchema.safeParse(params).data;
      if (frame !== undefined) this.#open.get(frame.streamId)?.fail(asError(frame.error));
    }
    return false;
  }

  #start(id: number): void {
    if (this.#open.size >= maxStreams) {
      this.#sender.send(cancelFrame(id, `This connection already has ${maxStreams} open streams, the limit.`));
      return;
    }
    const hold = this.#memory.streams.try(streamBytes);
    if (hold === undefined) {
      this.#sender.send(
        cancelFrame(id, "The sandbox already has so many open streams that no memory is left for more."),
      );
      return;
    }
    this.#holds.set(id, hold);
    this.#open.set(id, new InboundStream(id, this.#budget, this.#turn, (stream) => this.#ended(stream)));
    this.#unclaimed.add(id);
  }

  #ended(stream: InboundStream): void {
    this.#open.delete(stream.streamId);
    this.#unclaimed.delete(stream.streamId);
    this.#holds.get(stream.streamId)?.release();
    this.#holds.delete(stream.streamId);
    if (!stream.complete && !this.#closed && !this.#dropped.has(stream.streamId))
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

  /**
   * Ends the input of a process that has ended, without a `cancel`: the client would report a failure, although the command succeeded.
   * What the client still sends is dropped, see `#drop`.
   */
  forget(stream: InboundStream): void {
    if (!stream.complete && !this.#closed) {
      this.#dropped.set(stream.streamId, 0);
      if (this.#dropped.size > maxDropped) this.#dropped.delete(this.#dropped.keys().next().value!);
    }
    stream.destroy();
  }

  /** Counts data for a forgotten stream. A client that sends too much of it gets a `cancel`, so that it does not send for ever. */
  #drop(id: number, length: number): void {
    const before = this.#dropped.get(id);
    if (before === undefined) return;
    if (before + length <= droppedBytes) return void this.#dropped.set(id, before + length);
    this.#dropped.delete(id);
    this.#sender.send(cancelFrame(id, "The process has ended."));
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
      // A complete stream that a request has is read to its end; nobody will ever read the others.
      if (!stream.complete || this.#unclaimed.has(stream.streamId))
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

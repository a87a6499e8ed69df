/** Streams from the server to a client (wire contract 3.4): process output, fetch bodies, walks. */
import type { SerialisedError } from "@caisson/api";
import type { Readable } from "node:stream";
import type { Logger } from "pino";
import type { Hold } from "../../kernel/memory/budget.ts";
import { serialiseError } from "../errors.ts";
import { enqueueFrame, notificationFrame } from "../frames.ts";
import type { Sender } from "../sender.ts";
import { nextStreamId } from "./stream-ids.ts";

/** Raw bytes in one frame: base64 of it stays far below the 1 MiB that the Python client accepts (T15). */
const chunkBytes = 64 * 1024;
/** Memory of one stream: what the guest may send before it is read, and what is being sent. Bytes. */
export const outboundBytes = 320 * 1024;

export interface OutboundOptions {
  /** `outboundBytes` of the sandbox's memory. Released at the end of the source. */
  readonly hold: Hold;
  /** Nothing is sent before this resolves (T5, T26). */
  readonly gate: Promise<void>;
  /**
   * Output of a process always ends with `end`, since the Python client waits for it (3.4). When the connection ends, the output is
   * still read and dropped, since the process may go on.
   */
  readonly processOutput?: boolean;
  /** Called when all of the source has been sent, or nothing more will be. */
  readonly sent?: () => void;
}

interface OutboundStream {
  readonly id: number;
  readonly source: Readable;
  readonly abort: AbortController;
  readonly processOutput: boolean;
  started: boolean;
  draining: boolean;
}

export class OutboundStreams {
  readonly #sender: Sender;
  readonly #roundTrip: () => Promise<void>;
  readonly #log: Logger;
  readonly #open = new Map<number, OutboundStream>();

  /** @param roundTrip resolves when the client has had the chance to react to everything that was sent */
  constructor(sender: Sender, roundTrip: () => Promise<void>, log: Logger) {
    this.#sender = sender;
    this.#roundTrip = roundTrip;
    this.#log = log;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Sends what `source` yields. One chunk of at most 64 KiB is one frame, so a source of documents keeps them whole (T14). */
  open(source: Readable, { hold, gate, processOutput = false, sent = () => {} }: OutboundOptions): number {
    const stream: OutboundStream = {
      id: nextStreamId(),
      source,
      abort: new AbortController(),
      processOutput,
      started: false,
      draining: false,
    };
    this.#open.set(stream.id, stream);
    // The loop handles errors, but it may not run yet.
    source.on("error", () => {});
    void this.#run(stream, gate, sent).finally(() => {
      sent();
      hold.release();
    });
    return stream.id;
  }

  async #run(stream: OutboundStream, gate: Promise<void>, sent: () => void): Promise<void> {
    const { source, abort } = stream;
    try {
      await Promise.race([gate, aborted(abort.signal)]).catch(() => {});
      // A client that reads the reply and `start` in one go cannot cancel the stream later (T26). A busy client may do so however long
      // the pause between them is; only its pong shows that it has read the reply. Process output waits for `processWait` instead.
      if (!stream.processOutput && !abort.signal.aborted) await this.#roundTrip();
      if (!abort.signal.aborted) this.#start(stream);
      // Leaving the loop early does not destroy the source: the code that aborts either destroys or drains it.
      for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        if (!abort.signal.aborted) await this.#send(stream, chunk);
        else if (!stream.draining) return;
      }
      sent();
      // After a client has cancelled it must not get `end`: the JavaScript client crashes (T2). So wait for a cancel on its way here.
      if (!abort.signal.aborted) await this.#roundTrip();
      this.#finish(stream);
    } catch (error) {
      if (abort.signal.aborted) return;
      this.#log.debug({ err: error, stream: stream.id }, "a stream failed");
      this.#finish(stream, stream.processOutput ? undefined : serialiseError(error));
    } finally {
      this.#open.delete(stream.id);
    }
  }

  async #send({ id, abort }: OutboundStream, chunk: Buffer): Promise<void> {
    for (let from = 0; from < chunk.length; from += chunkBytes) {
      const granted = await this.#sender.turn(abort.signal).then(
        () => true,
        () => false,
      );
      if (!granted) return;
      if (abort.signal.aborted) return this.#sender.pass();
      this.#sender.sendBulk(() => enqueueFrame(id, chunk.subarray(from, from + chunkBytes)));
    }
  }

  #start(stream: OutboundStream): void {
    if (stream.started) return;
    stream.started = true;
    this.#sender.send(notificationFrame("$sandbox.stream.start", { streamId: stream.id }));
  }

  #finish(stream: OutboundStream, error?: SerialisedError): void {
    if (!this.#open.delete(stream.id)) return;
    this.#start(stream);
    const frame =
      error === undefined
        ? notificationFrame("$sandbox.stream.end", { streamId: stream.id })
        : notificationFrame("$sandbox.stream.error", { streamId: stream.id, error });
    this.#sender.send(frame);
  }

  /** The client wants no more data. From now on nothing is sent for the stream (T2). */
  cancel(id: number): void {
    const stream = this.#open.get(id);
    if (stream === undefined) return;
    this.#open.delete(id);
    stream.abort.abort();
    stream.source.destroy();
  }

  /** Ends a stream before its source does. */
  fail(id: number, error: SerialisedError): void {
    const stream = this.#open.get(id);
    if (stream === undefined) return;
    this.#finish(stream, error);
    stream.abort.abort();
    stream.source.destroy();
  }

  /** @param error sent for each stream that is not process output (T8); absent: the client has disconnected */
  close(error?: SerialisedError): void {
    for (const stream of this.#open.values()) {
      if (error !== undefined) this.#finish(stream, stream.processOutput ? undefined : error);
      this.#open.delete(stream.id);
      stream.draining = stream.processOutput && error === undefined;
      stream.abort.abort();
      if (!stream.draining) stream.source.destroy();
    }
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    else signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

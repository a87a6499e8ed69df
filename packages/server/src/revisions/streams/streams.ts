/** Long answers: values as they come. What a client has not read yet is not read from the database either. */
import { CaissonError } from "@caisson/protocol";
import { frame, keepAlive, type StreamFormat } from "./format.ts";

/** JSON of one value; undefined: nothing has come for a while. */
export type StreamValue = string | undefined;

export interface StreamRequest {
  readonly orgId: string;
  readonly format: StreamFormat;
  /** The signal is aborted when nobody reads any more. */
  readonly values: (signal: AbortSignal) => AsyncIterable<StreamValue>;
  /** Cuts the connection: a stream that failed must not look complete. */
  readonly disconnect: () => void;
}

export class Streams {
  readonly #most: number;
  readonly #open = new Map<string, number>();
  readonly #stopped = new AbortController();

  /** @param most of one organisation at the same time */
  constructor(most: number) {
    this.#most = most;
  }

  /** @throws CaissonError `resource_exhausted` */
  open({ orgId, format, values, disconnect }: StreamRequest): ReadableStream<Uint8Array> {
    const open = this.#open.get(orgId) ?? 0;
    if (open >= this.#most)
      throw new CaissonError(
        "resource_exhausted",
        `This organisation already reads ${open} streams of logs and progress, the limit. Close one first.`,
      );
    this.#open.set(orgId, open + 1);
    const gone = new AbortController();
    const iterator = values(AbortSignal.any([gone.signal, this.#stopped.signal]))[Symbol.asyncIterator]();
    let left = false;
    const leave = () => {
      if (left) return;
      left = true;
      gone.abort();
      const others = (this.#open.get(orgId) ?? 1) - 1;
      if (others === 0) this.#open.delete(orgId);
      else this.#open.set(orgId, others);
    };
    const bytes = (text: string) => new TextEncoder().encode(text);
    return new ReadableStream(
      {
        // So that the client has the head of the answer at once.
        start: (controller) => controller.enqueue(bytes(keepAlive(format))),
        pull: async (controller) => {
          try {
            const { done, value } = await iterator.next();
            if (done !== true)
              return controller.enqueue(bytes(value === undefined ? keepAlive(format) : frame(format, value)));
            leave();
            controller.close();
          } catch (error) {
            if (!left) disconnect();
            leave();
            controller.error(error);
          }
        },
        cancel: () => {
          leave();
          void iterator.return?.().catch(() => {});
        },
      },
      { highWaterMark: 1 },
    );
  }

  /** Ends all. */
  close(): void {
    this.#stopped.abort();
  }
}

/** One REPL in a sandbox. Requests and answers are lines of JSON; answers come from the guest and are not trusted. */
import type { Readable, Writable } from "node:stream";
import { z } from "zod";
import type { Budget, Hold } from "../../kernel/memory/budget.ts";
import { OperationFailure } from "../errors.ts";
import { parseLine } from "../incoming/parse.ts";

const errorSchema = z.object({
  constructorName: z.string().max(256),
  message: z.string(),
  name: z.string().max(256).nullish(),
  code: z.string().max(256).nullish(),
  get cause() {
    return errorSchema.nullish();
  },
  get errors() {
    return z.array(errorSchema).nullish();
  },
});
const answerSchema = z.object({ id: z.int(), ok: z.unknown().optional(), error: errorSchema.optional() });

/** Longest answer of the guest, bytes. */
const maxLine = 32 * 2 ** 20;
/** An answer that grows takes memory in steps of this size: itself, the text and the value that it becomes. Bytes of the answer. */
const step = 2 ** 20;
const stepMemory = 3 * step;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export interface ReplChannel {
  readonly requests: Writable;
  readonly answers: Readable;
}

export class Repl {
  readonly pid: number;
  /** Resolves when the REPL accepts no more requests. */
  readonly ended: Promise<void>;
  readonly #channel: ReplChannel;
  readonly #memory: Budget;
  readonly #waiting = new Map<number, Waiting>();
  readonly #markEnded: () => void;
  #lastId = 0;
  #failure: OperationFailure | undefined;

  /** @param memory for long answers */
  constructor(pid: number, channel: ReplChannel, memory: Budget) {
    this.pid = pid;
    this.#channel = channel;
    this.#memory = memory;
    const ended = Promise.withResolvers<void>();
    this.ended = ended.promise;
    this.#markEnded = ended.resolve;
    channel.requests.on("error", () => this.fail("The REPL has ended."));
    void this.#read();
  }

  /** The value of the last expression. @throws OperationFailure with what the code threw */
  evaluate(code: string, signal: AbortSignal): Promise<unknown> {
    return this.#ask({ code }, signal);
  }

  call(fn: string, args: readonly unknown[], signal: AbortSignal): Promise<unknown> {
    return this.#ask({ fn, args }, signal);
  }

  #ask(request: Record<string, unknown>, signal: AbortSignal): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.delete(id);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      const settle = () => signal.removeEventListener("abort", onAbort);
      this.#waiting.set(id, {
        resolve: (value) => (settle(), resolve(value)),
        reject: (error) => (settle(), reject(error)),
      });
      this.#channel.requests.write(`${JSON.stringify({ id, ...request })}\n`);
    });
  }

  async #read(): Promise<void> {
    let pieces: Buffer[] = [];
    let size = 0;
    const holds: Hold[] = [];
    const release = () => holds.splice(0).forEach((hold) => hold.release());
    try {
      for await (const chunk of this.#channel.answers as AsyncIterable<Buffer>) {
        let from = 0;
        for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
          this.#answer(Buffer.concat([...pieces, chunk.subarray(from, end)]));
          pieces = [];
          size = 0;
          release();
          from = end + 1;
        }
        pieces.push(chunk.subarray(from));
        size += chunk.length - from;
        if (size > maxLine) return this.fail("The value is too large for one message.");
        while (size > (holds.length + 1) * step) {
          const hold = this.#memory.try(stepMemory);
          if (hold === undefined) return this.fail("The server has no memory left for a value of this size.");
          holds.push(hold);
        }
      }
      this.fail("The REPL has ended.");
    } catch {
      this.fail("The REPL has ended.");
    } finally {
      release();
    }
  }

  #answer(line: Buffer): void {
    let answer: ReturnType<typeof parseLine>;
    try {
      answer = parseLine(line);
    } catch {
      return this.fail("The REPL sent an invalid answer.");
    }
    if (answer === undefined) return this.fail("The value is too large for one message.");
    const parsed = answerSchema.safeParse(answer.value);
    if (!parsed.success) return this.fail("The REPL sent an invalid answer.");
    const { id, ok, error } = parsed.data;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(ok ?? null);
    else waiting?.reject(new OperationFailure(withoutDomCode(error)));
  }

  /** Ends the session. Every request without an answer fails with this message. */
  fail(message: string): void {
    if (this.#failure !== undefined) return;
    this.#failure = new OperationFailure({ constructorName: "Error", message, code: null });
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
    // The program ends when its input ends.
    this.#channel.requests.end();
    this.#channel.answers.destroy();
    this.#markEnded();
  }
}

/** A `code` on a DOMException breaks the JavaScript client's decoder (T12). */
function withoutDomCode(error: z.infer<typeof errorSchema>): z.infer<typeof errorSchema> {
  return error.constructorName === "DOMException" ? { ...error, code: null } : error;
}

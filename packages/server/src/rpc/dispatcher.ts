/** Runs the requests of one connection concurrently and answers each exactly once. */
import { check, rpcCodes, type Checked, type RequestId, type SerialisedError } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Hold } from "../kernel/memory/budget.ts";
import type { Turn } from "../kernel/turns.ts";
import type { LiveSandbox } from "../sandboxes/index.ts";
import type { Call, Method, Methods } from "./call.ts";
import type { ConnectionState } from "./connection-state.ts";
import { denoProcessesOf } from "./deno-processes.ts";
import { abortError, serialiseError } from "./errors.ts";
import { BytesJson, errorFrame, faultFrame, invalidParams, largeOkFrame, okFrame } from "./frames.ts";
import type { LongText } from "./incoming/long-text.ts";
import { isLongText } from "./incoming/parse.ts";
import type { Memory } from "./memory/ledger.ts";
import type { Sender } from "./sender.ts";

/** Unanswered requests of one connection, `processWait` included. */
const maxPending = 4096;
/** Memory of a call in progress: its state and a small answer. The parameters come on top. Bytes. */
const callBytes = 32 * 1024;
/** Parsed JSON takes up to thirty times the memory of its text, and mostly less than twice. */
const parsedFactor = 16;
/** Replies from this size on are made while they are sent, bytes. */
const largeReply = 128 * 1024;
/** Where a text may be too long for the rest of its frame. */
const longParameters: Readonly<Record<string, string>> = {
  writeFile: "content",
  writeTextFile: "content",
  fileWrite: "data",
  spawnDeno: "code",
  denoReplEval: "code",
};
const streamParameters = ["stdinStreamId", "contentStreamId", "bodyStreamId"];

export interface DispatcherOptions {
  readonly methods: Methods;
  readonly state: ConnectionState;
  readonly sandbox: LiveSandbox;
  readonly memory: Memory;
  /** See `Call.turn`. */
  readonly turn: Turn;
  /** See `Call.extraCa`. */
  readonly extraCa: readonly string[];
  readonly sender: Sender;
  readonly replyBytes: number;
  readonly log: Logger;
  /** One finished request, for metrics. */
  readonly observe: (method: string, outcome: "ok" | "error" | "fault", seconds: number) => void;
}

export interface Request {
  readonly id: RequestId;
  readonly name: string;
  readonly params: unknown;
  /** See `ParsedFrame`. */
  readonly long: LongText | undefined;
  /** Of the frame. */
  readonly bytes: number;
  /** Memory of a large frame. The dispatcher releases it. */
  readonly hold: Hold | undefined;
}

interface Pending {
  readonly request: Request;
  readonly method: Method;
  readonly holds: Hold[];
  answered: boolean;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #pending = new Set<Pending>();
  /** Of all calls that can still be aborted. */
  readonly #abortable = new Set<AbortController>();

  constructor(options: DispatcherOptions) {
    this.#options = options;
    const { signal } = options.state;
    // One listener for all calls. `AbortSignal.any` for each call would keep memory until the next full garbage collection.
    signal.addEventListener("abort", () => this.#abortable.forEach((abort) => abort.abort(signal.reason)), {
      once: true,
    });
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** @returns a promise when no memory is free: nothing more may be read before it settles */
  dispatch(request: Request): void | Promise<void> {
    const { methods, memory, observe, state } = this.#options;
    const { name } = request;
    const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
    if (method === undefined) {
      // The Python client compares this text.
      this.#refuse(request, { code: rpcCodes.methodNotFound, message: "Method not found" });
      observe("unknown", "fault", 0);
      return;
    }
    const parsed = this.#parse(method, request);
    if (parsed === undefined || !parsed.success || this.#pending.size >= maxPending) {
      this.#discardStreams(request.params);
      const fault =
        parsed === undefined
          ? { code: rpcCodes.internal, message: "Something failed inside the platform; its log has the details." }
          : parsed.success
            ? {
                code: rpcCodes.server,
                message: `This connection already has ${maxPending} unanswered requests, the limit. Wait for replies.`,
              }
            : invalidParams(parsed.faults);
      this.#refuse(request, fault);
      observe(name, "fault", 0);
      return;
    }
    const params = parsed.data as Record<string, unknown>;
    const rest = request.bytes - (request.long?.length ?? 0);
    const bytes = Math.min(callBytes + rest * parsedFactor, memory.calls.limit / 2);
    const start = (hold: Hold) => {
      const holds = request.hold === undefined ? [hold] : [hold, request.hold];
      const pending = { request, method, holds, answered: false };
      this.#pending.add(pending);
      void this.#run(pending, name, params);
    };
    const hold = memory.calls.try(bytes);
    if (hold !== undefined) return start(hold);
    return memory.calls
      .take(bytes, { signal: state.signal, deadline: 2 ** 31 - 1 })
      .then(start, () => request.hold?.release());
  }

  #refuse({ id, hold }: Request, fault: Parameters<typeof faultFrame>[1]): void {
    hold?.release();
    this.#options.sender.send(faultFrame(id, fault));
  }

  /** Undefined when a schema has a fault. An exception here would end the server and every client's connection. */
  #parse(method: Method, { name, params, long }: Request): Checked<unknown> | undefined {
    try {
      const raw = (params ?? {}) as Record<string, unknown>;
      const where = longParameters[name];
      if (long !== undefined && (where === undefined || !isLongText(raw[where])))
        return {
          success: false,
          faults: [{ code: "custom", path: [], message: `has a text of ${long.length} bytes where none is expected` }],
        };
      return check(method.contract.params, raw);
    } catch (error) {
      this.#options.log.error({ err: error, method: name }, "the parameters of a request could not be checked");
      return undefined;
    }
  }

  async #run(pending: Pending, name: string, params: Record<string, unknown>): Promise<void> {
    const { state, sandbox, memory, turn, extraCa, replyBytes, log, observe } = this.#options;
    const { method, request } = pending;
    const { id } = request;
    const started = performance.now();
    const { promise: replied, resolve: onReplied } = Promise.withResolvers<void>();
    // In `abort` itself the number names another call. That call's controller must not be replaced.
    const abortId = name !== "abort" && typeof params["abortId"] === "number" ? params["abortId"] : undefined;
    const abort = new AbortController();
    this.#abortable.add(abort);
    if (state.signal.aborted) abort.abort(state.signal.reason);
    if (abortId !== undefined) state.aborts.set(abortId, abort);
    let abortable: Promise<unknown> | undefined;
    const call: Call = {
      sandbox,
      agent: sandbox.agent,
      memory,
      turn,
      long: request.long,
      hold: (hold) => {
        if (pending.answered) hold.release();
        else pending.holds.push(hold);
      },
      connection: state,
      deno: denoProcessesOf(sandbox),
      extraCa,
      signal: abort.signal,
      replied,
      extendAbort: (done) => {
        abortable = done;
      },
      replyBytes,
      log,
    };
    try {
      const value = await method.run(params, call);
      this.#answerOk(pending, value);
      observe(name, "ok", (performance.now() - started) / 1000);
    } catch (error) {
      const serialised =
        abort.signal.aborted && !state.signal.aborted ? abortError : serialiseError(error, method.describe(params));
      this.#answer(pending, errorFrame(id, serialised));
      if (
        !state.signal.aborted &&
        (error instanceof CaissonError
          ? error.code === "internal"
          : serialised.message.startsWith("Something failed inside"))
      ) {
        log.error({ err: error, method: name }, "a request failed inside the platform");
      }
      observe(name, "error", (performance.now() - started) / 1000);
    } finally {
      this.#discardStreams(params);
      onReplied();
      const forget = () => {
        this.#abortable.delete(abort);
        if (abortId !== undefined && state.aborts.get(abortId) === abort) state.aborts.delete(abortId);
      };
      if (abortable === undefined) forget();
      else void abortable.then(forget, forget);
    }
  }

  #answerOk(pending: Pending, value: unknown): void {
    const { id } = pending.request;
    if (!(value instanceof BytesJson) || value.length < largeReply) return this.#answer(pending, okFrame(id, value));
    if (this.#settle(pending)) this.#options.sender.sendLarge(largeOkFrame(id, value), () => this.#release(pending));
  }

  #answer(pending: Pending, frame: string): void {
    if (this.#settle(pending)) this.#options.sender.send(frame, () => this.#release(pending));
  }

  /** @returns false when it was answered before */
  #settle(pending: Pending): boolean {
    this.#pending.delete(pending);
    if (pending.answered) {
      // What it took since.
      this.#release(pending);
      return false;
    }
    pending.answered = true;
    return true;
  }

  #release({ holds }: Pending): void {
    for (const hold of holds.splice(0)) hold.release();
  }

  /** Drops streams that were sent for a request which did not use them. */
  #discardStreams(params: unknown): void {
    if (typeof params !== "object" || params === null) return;
    for (const key of streamParameters) {
      const id = (params as Record<string, unknown>)[key];
      if (typeof id === "number") this.#options.state.inbound.discardUnclaimed(id);
    }
  }

  /** Answers every request that has no answer yet (T8). */
  answerAll(error: SerialisedError): void {
    for (const pending of this.#pending) {
      const { request, method } = pending;
      const { id } = request;
      this.#answer(pending, method.atEnd === undefined ? errorFrame(id, error) : okFrame(id, method.atEnd));
    }
  }
}

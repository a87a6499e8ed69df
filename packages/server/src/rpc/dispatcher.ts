/** Runs the requests of one connection concurrently and answers each exactly once. */
import { rpcCodes, type RequestId, type SerialisedError } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import type { Logger } from "pino";
import type { z } from "zod";
import type { LiveSandbox } from "../sandboxes/index.ts";
import type { Call, Method, Methods } from "./call.ts";
import type { ConnectionState } from "./connection-state.ts";
import { denoProcessesOf } from "./deno-processes.ts";
import { abortError, serialiseError } from "./errors.ts";
import { errorFrame, faultFrame, invalidParams, okFrame } from "./frames.ts";
import type { Sender } from "./sender.ts";

/** Unanswered requests of one connection, `processWait` included. */
const maxPending = 4096;
const streamParameters = ["stdinStreamId", "contentStreamId", "bodyStreamId"];

export interface DispatcherOptions {
  readonly methods: Methods;
  readonly state: ConnectionState;
  readonly sandbox: LiveSandbox;
  /** See `Call.extraCa`. */
  readonly extraCa: readonly string[];
  readonly sender: Sender;
  readonly replyBytes: number;
  readonly log: Logger;
  /** One finished request, for metrics. */
  readonly observe: (method: string, outcome: "ok" | "error" | "fault", seconds: number) => void;
}

interface Pending {
  readonly id: RequestId;
  readonly method: Method;
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

  dispatch(id: RequestId, name: string, rawParams: unknown): void {
    const { methods, sender, observe } = this.#options;
    const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
    if (method === undefined) {
      // The Python client compares this text.
      sender.send(faultFrame(id, { code: rpcCodes.methodNotFound, message: "Method not found" }));
      observe("unknown", "fault", 0);
      return;
    }
    const parsed = this.#parse(method, name, rawParams);
    if (parsed === undefined || !parsed.success || this.#pending.size >= maxPending) {
      this.#discardStreams(rawParams);
      const fault =
        parsed === undefined
          ? { code: rpcCodes.internal, message: "Something failed inside the platform; its log has the details." }
          : parsed.success
            ? {
                code: rpcCodes.server,
                message: `This connection already has ${maxPending} unanswered requests, the limit. Wait for replies.`,
              }
            : invalidParams(parsed.error);
      sender.send(faultFrame(id, fault));
      observe(name, "fault", 0);
      return;
    }
    const pending = { id, method, answered: false };
    this.#pending.add(pending);
    void this.#run(pending, name, parsed.data as Record<string, unknown>);
  }

  /** Undefined when a schema has a fault. An exception here would end the server and every client's connection. */
  #parse(method: Method, name: string, rawParams: unknown): z.ZodSafeParseResult<unknown> | undefined {
    try {
      return method.contract.params.safeParse(rawParams ?? {});
    } catch (error) {
      this.#options.log.error({ err: error, method: name }, "the parameters of a request could not be checked");
      return undefined;
    }
  }

  async #run(pending: Pending, name: string, params: Record<string, unknown>): Promise<void> {
    const { state, sandbox, extraCa, replyBytes, log, observe } = this.#options;
    const { method } = pending;
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
      this.#answer(pending, okFrame(pending.id, value));
      observe(name, "ok", (performance.now() - started) / 1000);
    } catch (error) {
      const serialised =
        abort.signal.aborted && !state.signal.aborted ? abortError : serialiseError(error, method.describe(params));
      this.#answer(pending, errorFrame(pending.id, serialised));
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

  #answer(pending: Pending, frame: string): void {
    this.#pending.delete(pending);
    if (pending.answered) return;
    pending.answered = true;
    this.#options.sender.send(frame);
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
      const { id, method } = pending;
      this.#answer(pending, method.atEnd === undefined ? errorFrame(id, error) : okFrame(id, method.atEnd));
    }
  }
}

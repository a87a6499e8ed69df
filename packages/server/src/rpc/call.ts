/** One request of a client, and how a method is written. */
import type { MethodContract } from "@caisson/api";
import type { Agent } from "@caisson/protocol";
import type { Logger } from "pino";
import type { z } from "zod";
import type { LiveSandbox } from "../sandboxes/index.ts";
import type { ConnectionState } from "./connection-state.ts";
import type { DenoProcesses } from "./deno-processes.ts";
import type { BytesJson } from "./frames.ts";
import type { Hold } from "../kernel/memory/budget.ts";
import type { Turn } from "../kernel/turns.ts";
import type { LongText } from "./incoming/long-text.ts";
import type { Memory } from "./memory/ledger.ts";

/** Milliseconds that a call waits for memory which other calls hold. Then it fails. */
export const memoryPatience = 30_000;

export interface Call {
  readonly sandbox: LiveSandbox;
  readonly agent: Agent;
  readonly connection: ConnectionState;
  /** Of the sandbox. A method takes from `content` and `streams` what it makes the server hold. */
  readonly memory: Memory;
  /** Of the organisation. A method that goes on for long asks it for time between pieces of its work. */
  readonly turn: Turn;
  /** Gives memory back when the reply has been sent. */
  hold(hold: Hold): void;
  /** The content, data or code of the request, when it was too long to be a parameter. The parameter is then no more than a mark. */
  readonly long: LongText | undefined;
  /** Of the whole sandbox, not of this connection. */
  readonly deno: DenoProcesses;
  /** Aborted by the client's `abort`, and when the connection ends. */
  readonly signal: AbortSignal;
  /** Resolves after the reply was sent. */
  readonly replied: Promise<void>;
  /** Keeps the client's `abort` working beyond the reply, until `done` settles. */
  extendAbort(done: Promise<unknown>): void;
  /** Largest file content or value in one reply, bytes. */
  readonly replyBytes: number;
  /** PEM of authorities that the operator trusts beside the public ones. */
  readonly extraCa: readonly string[];
  readonly log: Logger;
}

export interface Method {
  readonly contract: MethodContract;
  run(params: unknown, call: Call): Promise<unknown>;
  /** The operation as Deno names it in errors, such as `open '/x'`. */
  describe(params: unknown): string | undefined;
  /** The result when the sandbox ends during the call. Absent: an error. */
  readonly atEnd?: unknown;
}

export type Methods = Readonly<Record<string, Method>>;

type Params<C extends MethodContract> = z.output<C["params"]>;
/** What a method may return: the result, as ready JSON if it has bytes, or nothing where the wire has null. */
type Result<R> = R | BytesJson<R> | (null extends R ? void : never);

/**
 * @param contract parameters and result, from `@caisson/api`
 * @param run gets checked parameters. What it throws becomes the client's error, see `errors.ts`
 * @param atEnd see `Method.atEnd`
 */
export function method<C extends MethodContract>(
  contract: C,
  run: (params: Params<C>, call: Call) => Promise<Result<z.output<C["result"]>>>,
  describe?: (params: Params<C>) => string,
  atEnd?: z.output<C["result"]>,
): Method {
  return {
    atEnd,
    contract,
    run: (params, call) => run(params as Params<C>, call),
    describe: (params) => describe?.(params as Params<C>),
  };
}

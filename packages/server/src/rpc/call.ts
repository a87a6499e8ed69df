/** One request of a client, and how a method is written. */
import type { Agent } from "@caisson/protocol";
import type { Logger } from "pino";
import { z } from "zod";
import type { LiveSandbox } from "../lifecycle/live-sandbox.ts";
import type { Previews } from "../previews/previews.ts";
import type { ConnectionState } from "./connection-state.ts";

export interface Call {
  readonly sandbox: LiveSandbox;
  readonly agent: Agent;
  readonly connection: ConnectionState;
  /** Public names of ports. */
  readonly previews: Previews;
  /** Aborted by the client's `abort`, and when the connection ends. */
  readonly signal: AbortSignal;
  /** Resolves after the reply was sent. */
  readonly replied: Promise<void>;
  /** Keeps the client's `abort` working beyond the reply, until `done` settles. */
  extendAbort(done: Promise<unknown>): void;
  /** Largest file content or value in one reply, bytes. */
  readonly replyBytes: number;
  readonly log: Logger;
}

export interface Method {
  readonly schema: z.ZodType<Record<string, unknown>>;
  run(params: unknown, call: Call): Promise<unknown>;
  /** The operation as Deno names it in errors, such as `open '/x'`. */
  describe(params: unknown): string | undefined;
  /** The result when the sandbox ends before there is another; absent: an error. */
  readonly atEnd?: unknown;
}

export type Methods = Readonly<Record<string, Method>>;

/**
 * @param run gets checked parameters; what it throws becomes the client's error, see `errors.ts`
 * @param atEnd see `Method.atEnd`
 */
export function method<T extends Record<string, unknown>>(
  schema: z.ZodType<T>,
  run: (params: T, call: Call) => Promise<unknown>,
  describe?: (params: T) => string,
  atEnd?: unknown,
): Method {
  return {
    atEnd,
    schema,
    run: (params, call) => run(params as T, call),
    describe: (params) => describe?.(params as T),
  };
}

/** Absent and null mean the same (T25). */
export function optional<T extends z.ZodType>(schema: T) {
  return schema
    .nullish()
    .transform((value) => value ?? undefined)
    .optional();
}

/** Paths are passed on as they are; a NUL byte cannot be in one. */
export const path = z.string().refine((text) => !text.includes("\0"), "must not contain a NUL character");

export const pid = z.int().min(0).max(0xffff_ffff);

/** Checks what a server sends against the schemas of `@caisson/api`: nothing missing, nothing else, no other type. */
import assert from "node:assert/strict";
import { replySchema, rpcMethods, rpcNotifications } from "@caisson/api";
import type { z } from "zod";

/** @throws Error when the reply to a call of `method` is not what the contract says */
export function checkReply(method: string, reply: unknown): void {
  const { result } = exactly(replySchema, reply, `the reply to ${method}`) as { result?: { ok?: unknown } };
  if (result !== undefined && "ok" in result && Object.hasOwn(rpcMethods, method))
    exactly(rpcMethods[method as keyof typeof rpcMethods].result, result.ok, `the result of ${method}`);
}

/** @throws Error when a frame without id is no notification of the contract */
export function checkNotification(frame: Record<string, unknown>): void {
  const { method, params } = frame;
  assert.ok(typeof method === "string" && Object.hasOwn(rpcNotifications, method), `notification ${String(method)}`);
  exactly(rpcNotifications[method as keyof typeof rpcNotifications], params, `the parameters of ${method}`);
}

function exactly(schema: z.ZodType, value: unknown, what: string): unknown {
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw new Error(`${what} does not match the contract: ${parsed.error.message}\n${excerpt(value)}`);
  assert.deepEqual(parsed.data, value, `${what} has more than the contract says`);
  return parsed.data;
}

function excerpt(value: unknown): string {
  return JSON.stringify(value).slice(0, 2000);
}

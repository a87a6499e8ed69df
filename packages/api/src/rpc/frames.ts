/** JSON-RPC 2.0 frames (wire contract 2.5 to 2.7). */
import { z } from "zod";

/** WebSocket close codes for frames that are not the protocol. */
export const rpcCloseCodes = { invalidJson: 4000, invalidMessage: 4001 } as const;

export const rpcCodes = {
  parse: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  server: -32000,
} as const;

export const requestId = z.union([z.string().max(256), z.number()]);
export type RequestId = z.infer<typeof requestId>;

/** Only that it is an object: a schema of its entries would look at each of them, and nobody needs to know more yet. */
const anyObject = z.custom<Record<string, unknown>>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
);

/** A request, or a notification when it has no id. */
export const messageSchema = z.object({
  jsonrpc: z.literal("2.0"),
  id: requestId.optional(),
  method: z.string().max(256),
  params: anyObject.nullish(),
});

export type Message = z.infer<typeof messageSchema>;

/** A request that could not be carried out as asked: `error` of a reply. */
export interface RpcFault {
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

/** An operation that failed: `result.error` of a reply. Clients rebuild it as an exception. */
export interface SerialisedError {
  readonly constructorName: string;
  readonly message: string;
  readonly name?: string | null | undefined;
  readonly code?: string | null | undefined;
  readonly cause?: SerialisedError | null | undefined;
  readonly errors?: readonly SerialisedError[] | null | undefined;
}

/** The same as a schema. */
export const serialisedError: z.ZodType<SerialisedError> = z.object({
  constructorName: z.string(),
  message: z.string(),
  name: z.string().nullish(),
  code: z.string().nullish(),
  get cause() {
    return serialisedError.nullish();
  },
  get errors() {
    return z.array(serialisedError).nullish();
  },
});

/** The reply to a request: its result, an operation that failed, or a fault of the request. */
export const replySchema = z.union([
  z.object({ jsonrpc: z.literal("2.0"), id: requestId, result: z.object({ ok: z.unknown() }) }),
  z.object({ jsonrpc: z.literal("2.0"), id: requestId, result: z.object({ error: serialisedError }) }),
  z.object({
    jsonrpc: z.literal("2.0"),
    id: requestId,
    error: z.object({ code: z.int(), message: z.string(), data: z.unknown().optional() }),
  }),
]);

export type Reply = z.infer<typeof replySchema>;

const stream = z.object({ streamId: z.number() });

/** Notifications and their parameters. Both sides send those of streams. */
export const rpcNotifications = {
  "$sandbox.stream.start": stream,
  "$sandbox.stream.enqueue": stream.extend({ data: z.string().describe("Base64.") }),
  "$sandbox.stream.end": stream,
  /** The Python client sends plain text. */
  "$sandbox.stream.error": stream.extend({ error: z.union([z.string(), serialisedError]).nullish() }),
  /** The receiver wants no more data. */
  "$sandbox.stream.cancel": stream.extend({ reason: z.unknown().optional() }),
  "$sandbox.deno.watcher.restart": z.object({ watcherId: z.string() }),
} as const;

export type NotificationName = keyof typeof rpcNotifications;
export type NotificationParams<N extends NotificationName> = z.infer<(typeof rpcNotifications)[N]>;

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

/** A request, or a notification when it has no id. */
export const messageSchema = z.object({
  jsonrpc: z.literal("2.0"),
  id: requestId.optional(),
  method: z.string().max(256),
  params: z.record(z.string(), z.unknown()).nullish(),
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

/** Notifications and their parameters. Those of streams go both ways. */
export const rpcNotifications = {
  "$sandbox.stream.start": z.object({ streamId: z.number() }),
  "$sandbox.stream.enqueue": z.object({ streamId: z.number(), data: z.string().describe("Base64.") }),
  "$sandbox.stream.end": z.object({ streamId: z.number() }),
  "$sandbox.stream.error": z.object({ streamId: z.number(), error: z.unknown() }),
  "$sandbox.stream.cancel": z.object({ streamId: z.number() }),
  "$sandbox.deno.watcher.restart": z.object({ watcherId: z.string() }),
} as const;

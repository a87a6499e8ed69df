/** JSON-RPC 2.0 frames that the server sends (wire contract 2.5). */
import { rpcCodes, type RequestId, type RpcFault, type SerialisedError } from "@caisson/api";
import type { z } from "zod";

/**
 * Bytes in a reply, put together by hand: base64 needs no escapes, and `JSON.stringify` would look for them in every byte, and copy
 * them once more.
 */
export class Base64Json {
  readonly text: string;

  /** @param key of an object with this one property; absent: the value alone */
  constructor(data: Uint8Array, key?: "data") {
    const base64 = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
    this.text = key === undefined ? `"${base64}"` : `{"${key}":"${base64}"}`;
  }
}

/** `undefined` as a result is sent as null: the clients require the key (T6). */
export function okFrame(id: RequestId, value: unknown): string {
  if (value instanceof Base64Json) return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"ok":${value.text}}}`;
  return JSON.stringify({ jsonrpc: "2.0", id, result: { ok: value ?? null } });
}

export function errorFrame(id: RequestId, error: SerialisedError): string {
  return JSON.stringify({ jsonrpc: "2.0", id, result: { error } });
}

export function faultFrame(id: RequestId, fault: RpcFault): string {
  return JSON.stringify({ jsonrpc: "2.0", id, error: fault });
}

export function notificationFrame(method: string, params: unknown): string {
  return JSON.stringify({ jsonrpc: "2.0", method, params });
}

/** Data of a stream, put together like `Base64Json`. */
export function enqueueFrame(streamId: number, data: Buffer): string {
  const base64 = data.toString("base64");
  return `{"jsonrpc":"2.0","method":"$sandbox.stream.enqueue","params":{"streamId":${streamId},"data":"${base64}"}}`;
}

/** The form in which the Python client reads a validation failure: JSON in JSON, every item with `expected` and a path of strings. */
export function invalidParams(error: z.ZodError): RpcFault {
  const items = error.issues.map((issue) => ({
    code: issue.code,
    expected: "expected" in issue && typeof issue.expected === "string" ? issue.expected : "valid value",
    path: issue.path.map(String),
    message: issue.message,
  }));
  return {
    code: rpcCodes.invalidParams,
    message: "Invalid params",
    data: { constructorName: "ZodError", message: JSON.stringify(items) },
  };
}

/** JSON-RPC 2.0 frames that the server sends (wire contract 2.5). */
import {
  rpcCodes,
  type NotificationName,
  type NotificationParams,
  type RequestId,
  type RpcFault,
  type SerialisedError,
} from "@caisson/api";
import type { z } from "zod";

/**
 * Bytes in a reply as ready JSON of a `T`: base64 needs no escapes, but `JSON.stringify` would search every byte for characters to
 * escape, and copy them once more.
 */
export class Base64Json<out T> {
  readonly text: string;
  /** For the compiler alone. */
  declare readonly value: T;

  private constructor(text: string) {
    this.text = text;
  }

  /** A string with the bytes. */
  static value(data: Uint8Array): Base64Json<string> {
    return new Base64Json(`"${base64(data)}"`);
  }

  /** An object whose only property `data` has the bytes. */
  static data(data: Uint8Array): Base64Json<{ data: string }> {
    return new Base64Json(`{"data":"${base64(data)}"}`);
  }
}

function base64(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
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

export function notificationFrame<N extends NotificationName>(method: N, params: NotificationParams<N>): string {
  return JSON.stringify({ jsonrpc: "2.0", method, params });
}

/** A piece of a stream. Written by hand for the same reason as `Base64Json`. */
export function enqueueFrame(streamId: number, data: Buffer): string {
  return `{"jsonrpc":"2.0","method":"$sandbox.stream.enqueue","params":{"streamId":${streamId},"data":"${base64(data)}"}}`;
}

/** The Python client reads a validation failure as JSON in JSON. Each item needs `expected` and a path of strings. */
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

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
 * Bytes in a reply, as raw as they came: base64 needs no escapes, but `JSON.stringify` would search every byte for characters to escape,
 * and copy them once more. A large reply is made while it is sent.
 */
export class BytesJson<out T> {
  readonly chunks: readonly Uint8Array[];
  readonly #form: "base64" | "data" | "text";
  /** For the compiler alone. */
  declare readonly value: T;

  private constructor(chunks: readonly Uint8Array[], form: "base64" | "data" | "text") {
    this.chunks = chunks;
    this.#form = form;
  }

  /** A string with the bytes in base64. */
  static base64(...chunks: readonly Uint8Array[]): BytesJson<string> {
    return new BytesJson(chunks, "base64");
  }

  /** An object whose only property `data` has the bytes in base64. */
  static data(...chunks: readonly Uint8Array[]): BytesJson<{ data: string }> {
    return new BytesJson(chunks, "data");
  }

  /** A string of UTF-8. What is not UTF-8 becomes U+FFFD, as Deno does it. */
  static text(...chunks: readonly Uint8Array[]): BytesJson<string> {
    return new BytesJson(chunks, "text");
  }

  get length(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  /** The JSON, in pieces of at most some hundred kilobytes. */
  *json(): Generator<string> {
    yield this.#form === "data" ? '{"data":"' : '"';
    yield* this.#form === "text" ? textPieces(this.chunks) : base64Pieces(this.chunks);
    yield this.#form === "data" ? '"}' : '"';
  }
}

/** Bytes that are encoded at a time; a multiple of three. */
const encodedBytes = 192 * 1024;

function* base64Pieces(chunks: readonly Uint8Array[]): Generator<string> {
  // Base64 makes groups of three bytes: what is left over of a chunk belongs to the next one.
  let left = Buffer.alloc(0);
  for (const chunk of chunks) {
    const needed = left.length === 0 ? 0 : Math.min(3 - left.length, chunk.length);
    if (needed > 0) left = Buffer.concat([left, chunk.subarray(0, needed)]);
    if (left.length === 3) {
      yield base64(left);
      left = Buffer.alloc(0);
    }
    const end = chunk.length - ((chunk.length - needed) % 3);
    for (let from = needed; from < end; from += encodedBytes)
      yield base64(chunk.subarray(from, Math.min(from + encodedBytes, end)));
    if (end < chunk.length) left = Buffer.from(chunk.subarray(end));
  }
  yield base64(left);
}

function* textPieces(chunks: readonly Uint8Array[]): Generator<string> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  for (const chunk of chunks) {
    for (let from = 0; from < chunk.length; from += encodedBytes)
      yield JSON.stringify(decoder.decode(chunk.subarray(from, from + encodedBytes), { stream: true })).slice(1, -1);
  }
  yield JSON.stringify(decoder.decode()).slice(1, -1);
}

function base64(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
}

/** `undefined` as a result is sent as null: the clients require the key (T6). */
export function okFrame(id: RequestId, value: unknown): string {
  if (value instanceof BytesJson) return [...largeOkFrame(id, value)].join("");
  return JSON.stringify({ jsonrpc: "2.0", id, result: { ok: value ?? null } });
}

/** The same in pieces. */
export function* largeOkFrame(id: RequestId, value: BytesJson<unknown>): Generator<string> {
  yield `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"ok":`;
  yield* value.json();
  yield "}}";
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
export function invalidParams(faults: readonly z.core.$ZodIssue[]): RpcFault {
  const items = faults.map((issue) => ({
    code: issue.code,
    expected: "expected" in issue && typeof issue.expected === "string" ? issue.expected : "valid value",
    path: issue.path.map((part) => String(part).slice(0, 200)),
    message: issue.message.slice(0, 1000),
  }));
  return {
    code: rpcCodes.invalidParams,
    message: "Invalid params",
    data: { constructorName: "ZodError", message: JSON.stringify(items) },
  };
}

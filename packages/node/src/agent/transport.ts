/** Connect calls over the connection's current session. */
import type { ClientHttp2Stream } from "node:http2";
import { agentAnswers } from "@caisson/protocol";
import type { ContextValues, Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import type { AgentConnection } from "./connection.ts";
import { openRequest } from "./request.ts";
import { agentOrigin } from "./session.ts";

/**
 * The largest answer by method, bytes. The agent may be hostile, and whatever it answers is in memory before anybody looks at it. Long
 * contents go as streams.
 */
const answerBytes = {
  /** Paths, numbers, errors. */
  small: 32 * 1024,
  listing: 256 * 1024,
  content: 2 ** 20 + 64 * 1024,
  large: 4 * 2 ** 20,
} as const;

type AnswerSize = keyof typeof answerBytes;

const sizes: Readonly<Record<string, AnswerSize>> = {
  ReadDir: "listing",
  List: "content",
  Get: "content",
  ReadFile: "content",
  Read: "content",
  // Batches of 128 entries with two paths each.
  Walk: "content",
  ExpandGlob: "content",
  Rehearse: "large",
};

/** Calls that wait for something inside the sandbox to happen. Their callers cancel them. */
const unbounded = new Set([
  "Wait",
  "WaitListening",
  "Lock",
  "Listen",
  "Walk",
  "ExpandGlob",
  "CopyFile",
  "Remove",
  // To a FIFO whose reader is slow.
  "WriteFile",
  "WriteFileFinish",
  "WarmUp",
]);
const defaultTimeoutMs = 60_000;

export function createTransport(connection: AgentConnection): Transport {
  const transports = Object.fromEntries(
    Object.entries(answerBytes).map(([size, bytes]) => [size, createSized(connection, bytes)]),
  ) as Readonly<Record<AnswerSize, Transport>>;
  const transportFor = (method: { readonly name: string }, contextValues: ContextValues | undefined) =>
    transports[contextValues?.get(agentAnswers) === "large" ? "large" : (sizes[method.name] ?? "small")];
  const deadline = (method: { readonly name: string }, timeoutMs: number | undefined) =>
    timeoutMs ?? (unbounded.has(method.name) ? undefined : defaultTimeoutMs);
  return {
    unary: (method, signal, timeoutMs, ...rest) =>
      transportFor(method, rest[2]).unary(method, signal, deadline(method, timeoutMs), ...rest),
    stream: (method, signal, timeoutMs, ...rest) =>
      transportFor(method, rest[2]).stream(method, signal, deadline(method, timeoutMs), ...rest),
  };
}

function createSized(connection: AgentConnection, readMaxBytes: number): Transport {
  return createConnectTransport({
    httpVersion: "2",
    baseUrl: agentOrigin,
    readMaxBytes,
    writeMaxBytes: 128 * 2 ** 20,
    // A compressed answer could expand to many times its size.
    acceptCompression: [],
    sessionManager: {
      authority: agentOrigin,
      notifyResponseByteRead: () => undefined,
      request: async (method, path, headers) => {
        const stream = await openRequest(connection, { ...headers, ":method": method, ":path": path }, false);
        failWithoutResponse(stream);
        endWithMessage(stream);
        return stream;
      },
    },
  });
}

/**
 * Every request of the contract is one message, so the end of the request goes out with it: an end of its own would wake the guest
 * a second time, which costs an emulated processor a tenth of a small call.
 */
function endWithMessage(stream: ClientHttp2Stream): void {
  stream.write = (chunk: Uint8Array, _encoding: unknown, written?: (error?: Error | null) => void) => {
    // From here on the stream reports failures.
    const late = stream.destroyed ? new Error("the agent reset the call") : undefined;
    stream.end(chunk);
    written?.(late);
    return true;
  };
}

/** Node does not report a reset with code 0 before the headers as an error, and the call would wait for ever. */
function failWithoutResponse(stream: ClientHttp2Stream): void {
  let answered = false;
  stream.once("response", () => {
    answered = true;
  });
  stream.once("close", () => {
    if (!answered) stream.emit("error", new Error("the agent reset the call"));
  });
}

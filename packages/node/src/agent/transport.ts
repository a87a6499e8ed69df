/** Connect calls over the connection's current session. */
import type { ClientHttp2Stream } from "node:http2";
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import type { AgentConnection } from "./connection.ts";
import { openRequest } from "./request.ts";
import { agentOrigin } from "./session.ts";

/** The largest answer; directory listings and small files stay below, long contents go as streams. */
const maximumMessageBytes = 32 * 2 ** 20;

/** Calls that wait for something inside the sandbox to happen. Their callers cancel them. */
const unbounded = new Set([
  "Wait",
  "WaitListening",
  "Lock",
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
  const transport = createConnectTransport({
    httpVersion: "2",
    baseUrl: agentOrigin,
    readMaxBytes: maximumMessageBytes,
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
  const deadline = (method: { readonly name: string }, timeoutMs: number | undefined) =>
    timeoutMs ?? (unbounded.has(method.name) ? undefined : defaultTimeoutMs);
  return {
    unary: (method, signal, timeoutMs, ...rest) =>
      transport.unary(method, signal, deadline(method, timeoutMs), ...rest),
    stream: (method, signal, timeoutMs, ...rest) =>
      transport.stream(method, signal, deadline(method, timeoutMs), ...rest),
  };
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

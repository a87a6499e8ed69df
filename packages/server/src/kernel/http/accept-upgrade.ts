import type { WebSocket, WebSocketServer } from "ws";
import type { Upgrade } from "../slice.ts";
import { traceHeader } from "./trace.ts";

/** Close code of RFC 6455 7.4.1. */
export const policyViolation = 1008;

/**
 * Answers an upgrade with 101 and closes the WebSocket when the token is revoked.
 * @param headers lines that are added to the 101
 * @param serve takes the WebSocket; returns what closes it
 * @returns false when the upgrade was not valid: `ws` has answered it, and `serve` was not called
 */
export function acceptUpgrade(
  sockets: WebSocketServer,
  { request, socket, head, requestId, revoked }: Upgrade,
  headers: readonly string[],
  serve: (client: WebSocket) => (code: number, reason: string) => void,
): boolean {
  const add = (lines: string[]) => void lines.push(...headers, `${traceHeader}: ${requestId}`);
  sockets.once("headers", add);
  let accepted = false;
  // Runs at once: `ws` writes the 101 and calls back before it returns.
  sockets.handleUpgrade(request, socket, head, (client) => {
    accepted = true;
    const close = serve(client);
    const end = () => close(policyViolation, "The token was revoked or has expired.");
    if (revoked.aborted) end();
    else revoked.addEventListener("abort", end, { once: true });
  });
  sockets.off("headers", add);
  return accepted;
}

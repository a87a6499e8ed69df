/** What the gateway says itself. */
import { STATUS_CODES, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Refusal } from "./addressed.ts";
import { limits } from "./limits.ts";

/** Names the rule that decided; a sandbox's own answer can carry it too, so it proves nothing. */
const ruleHeader = "caisson-gateway";

const headersOf = ({ rule }: Refusal, length: number): Record<string, string | number> => ({
  "content-type": "text/plain; charset=utf-8",
  "content-length": length,
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  [ruleHeader]: rule,
  // What is left of the request is not worth reading.
  connection: "close",
});

export function refuse(response: ServerResponse, refusal: Refusal): void {
  if (response.headersSent) {
    // One that waits behind another has no connection yet, and Node would leave its visitor waiting for the rest.
    if (response.socket === null) response.once("socket", (socket: Duplex) => socket.destroy());
    response.destroy();
    return;
  }
  const text = `${refusal.message}\n`;
  response.writeHead(refusal.status, headersOf(refusal, Buffer.byteLength(text)));
  response.end(text);
}

/** For what the parser did not take: there is no response object then. */
export function refuseOnSocket(socket: Duplex, refusal: Refusal): void {
  socket.on("error", () => undefined);
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const text = `${refusal.message}\n`;
  const lines = Object.entries(headersOf(refusal, Buffer.byteLength(text))).map(([name, value]) => `${name}: ${value}`);
  socket.write(
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status] ?? ""}\r\n${lines.join("\r\n")}\r\n\r\n${text}`,
  );
  endSoon(socket);
}

/** Ends a connection that no server watches any more, also when the visitor never ends his side. */
export function endSoon(socket: Duplex): void {
  socket.end();
  const timer = setTimeout(() => socket.destroy(), limits.linger);
  socket.once("close", () => clearTimeout(timer));
}

/** Heads written by hand, where Node has no response object: after a parser error, and for the 101 of a WebSocket. */
import { STATUS_CODES, validateHeaderName, validateHeaderValue } from "node:http";
import type { Duplex } from "node:stream";
import type { HeaderList } from "./fields.ts";

/**
 * Answers on a bare connection and closes it.
 * @param headers without `content-length` and `connection`
 * @param linger milliseconds that the client may take to read the answer
 * @returns whether it was written; false when the connection has ended, or an earlier answer has closed it
 */
export function answerOnSocket(
  socket: Duplex,
  status: number,
  headers: HeaderList,
  body: string,
  linger: number,
): boolean {
  socket.on("error", () => undefined);
  const { writable } = socket;
  if (writable) {
    const bytes = Buffer.from(body);
    const all: HeaderList = [...headers, ["content-length", String(bytes.length)], ["connection", "close"]];
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${format(all)}\r\n`;
    socket.write(Buffer.concat([Buffer.from(head, "latin1"), bytes]));
  }
  // What follows the first fault is faulty as well; an answer that is under way must not be cut off.
  endSoon(socket, linger);
  return writable;
}

/**
 * Answers 101 on a bare connection. It is a WebSocket from then on.
 * @throws TypeError when a field cannot be written
 */
export function switchToWebSocket(socket: Duplex, headers: HeaderList): void {
  const lines = format([["connection", "Upgrade"], ["upgrade", "websocket"], ...headers]);
  // As a buffer: Node 24 may free a string before a stream of HTTP/2 has sent it.
  socket.write(Buffer.from(`HTTP/1.1 101 Switching Protocols\r\n${lines}\r\n`, "latin1"));
}

function format(headers: HeaderList): string {
  return headers
    .map(([name, value]) => {
      validateHeaderName(name);
      validateHeaderValue(name, value);
      return `${name}: ${value}\r\n`;
    })
    .join("");
}

/** Ends a connection that no server watches any more; destroys it after `linger` milliseconds if the peer does not close. */
export function endSoon(socket: Duplex, linger: number): void {
  socket.end();
  const timer = setTimeout(() => socket.destroy(), linger).unref();
  socket.once("close", () => clearTimeout(timer));
}

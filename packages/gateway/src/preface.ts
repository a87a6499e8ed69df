/** Which version of HTTP a connection without TLS speaks: HTTP/2 begins with a fixed text (RFC 9113 3.4). */
import type { Socket } from "node:net";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/**
 * Looks at the first bytes of a connection, and leaves them in it.
 * @param deadline milliseconds until the first bytes must have come; the connection is cut otherwise
 * @param decided called once, unless the connection ends first
 */
export function speaksHttp2(socket: Socket, deadline: number, decided: (yes: boolean) => void): void {
  let first = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), deadline).unref();
  const failed = () => undefined;
  socket.on("error", failed);
  socket.once("close", () => clearTimeout(timer));
  const look = () => {
    let piece: Buffer | null;
    while ((piece = socket.read() as Buffer | null) !== null) first = Buffer.concat([first, piece]);
    if (first.length === 0) return;
    const known = Math.min(first.length, preface.length);
    const same = first.subarray(0, known).equals(preface.subarray(0, known));
    if (same && known < preface.length) return;
    clearTimeout(timer);
    socket.off("readable", look);
    socket.off("error", failed);
    socket.unshift(first);
    decided(same);
  };
  socket.on("readable", look);
}

/**
 * Reads what an upstream has sent before it closed its connection, although sending to it fails. An upstream that refuses an upload answers
 * and closes while the upload still goes on. Node destroys a socket whose write has failed, with the answer unread in the kernel's buffer.
 */
import type { Duplex } from "node:stream";
import { codeOf } from "@caisson/protocol";

type Written = (error?: Error | null) => void;

/** The upstream has reset the connection: what it sent before can be read, and after that comes the end. */
const resets = new Set(["EPIPE", "ECONNRESET"]);

/** A write that fails so ends neither the socket nor itself before the socket's reading side has ended. */
export function readOn(socket: Duplex): void {
  const write = socket._write.bind(socket);
  const writeMany = socket._writev?.bind(socket);
  const patient =
    (written: Written): Written =>
    (error) => {
      const reading = !socket.readableEnded && !socket.destroyed;
      if (error == null || !reading || !resets.has(codeOf(error) ?? "")) return written(error);
      let waiting = true;
      const end = (): void => {
        if (waiting) written(error);
        waiting = false;
      };
      socket.once("end", end).once("close", end);
    };
  socket._write = (chunk, encoding, written) => write(chunk, encoding, patient(written));
  if (writeMany !== undefined) socket._writev = (chunks, written) => writeMany(chunks, patient(written));
}

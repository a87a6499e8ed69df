/** Finds the guest's ear on a port whose other end may be in the middle of something that an earlier process began. */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";

/** Milliseconds. */
const resendAfter = 250;
/** Bytes of an earlier connection that may be left in the pipe. */
const maxStale = 64 * 2 ** 20;

/**
 * Connects to the machine's egress port and agrees with the guest on a fresh beginning: writes `CAISSON-SYNC <32 hex>`
 * every 250 ms, as far as the other end reads, until the same line comes back. What follows the line is left in the socket.
 * @throws Error when the connection fails or `signal` aborts
 */
export function synchronise(path: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const line = Buffer.from(`CAISSON-SYNC ${randomBytes(16).toString("hex")}\n`);
    const socket = connect({ path });
    let tail: Buffer = Buffer.alloc(0);
    let stale = 0;
    let timer: NodeJS.Timeout | undefined;
    const fail = (error: Error): void => {
      release();
      socket.destroy();
      reject(error);
    };
    const ended = (): void => fail(new Error("The machine closed its egress port"));
    const aborted = (): void => fail(signal.reason as Error);
    const release = (): void => {
      clearInterval(timer);
      signal.removeEventListener("abort", aborted);
      socket.off("data", take).off("close", ended).off("error", fail);
      socket.on("error", () => {});
    };
    const take = (chunk: Buffer): void => {
      const data = tail.length === 0 ? chunk : Buffer.concat([tail, chunk]);
      const at = data.indexOf(line);
      if (at < 0) {
        stale += chunk.length;
        if (stale > maxStale) return fail(new Error("The guest does not answer the synchronisation"));
        tail = Buffer.from(data.subarray(-(line.length - 1)));
        return;
      }
      release();
      socket.pause();
      const rest = data.subarray(at + line.length);
      if (rest.length > 0) socket.unshift(rest);
      resolve(socket);
    };
    signal.addEventListener("abort", aborted, { once: true });
    if (signal.aborted) return aborted();
    socket.on("error", fail).on("close", ended).on("data", take);
    socket.once("connect", () => {
      socket.write(line);
      // A line that still waits to be written says it already; more would pile up for as long as nobody reads.
      timer = setInterval(() => socket.writableLength > 0 || socket.write(line), resendAfter);
    });
  });
}

/**
 * @module Connects to a serial port of a guest. Such a port outlives the processes at its ends, so bytes of an earlier connection may
 * still be in it. The host writes a fresh line until the guest echoes it; whatever came before the echo is discarded.
 */
import { randomBytes } from "node:crypto";
import { createConnection, type Socket } from "node:net";
import { CaissonError } from "@caisson/protocol";
import type { PortMeter } from "./port-meter.ts";

const resendMs = 250;

/** The HTTP/2 window of an earlier connection and the guest's buffers may still arrive; a guest that sends more will not answer. */
const usualStaleBytes = 256 * 2 ** 20;

/** Finds `line` in a stream without keeping more of it than the line's length. */
export class EchoFinder {
  readonly #line: Buffer;
  #tail: Buffer = Buffer.alloc(0);
  readonly #maximumStaleBytes: number;
  #seen = 0;

  constructor(line: string, maximumStaleBytes: number = usualStaleBytes) {
    this.#line = Buffer.from(line, "latin1");
    this.#maximumStaleBytes = maximumStaleBytes;
  }

  /**
   * @returns what follows the echo, once it was found
   * @throws CaissonError `guest_error` when more came than may be stale without it
   */
  push(chunk: Buffer): Buffer | undefined {
    this.#seen += chunk.length;
    if (this.#seen > this.#maximumStaleBytes)
      throw new CaissonError(
        "guest_error",
        `The sandbox sent ${this.#maximumStaleBytes} bytes on its port without answering the handshake.`,
      );
    const data = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    const at = data.indexOf(this.#line);
    if (at !== -1) return data.subarray(at + this.#line.length);
    // A copy, so that a short tail does not keep a large chunk alive.
    this.#tail = Buffer.from(data.subarray(Math.max(0, data.length - this.#line.length + 1)));
    return undefined;
  }
}

export interface PortOptions {
  /** Milliseconds; absent: until the signal aborts. */
  readonly deadlineMs?: number;
  readonly signal: AbortSignal;
  /** Bytes of an earlier connection that may come before the echo; default 256 MiB. */
  readonly maximumStaleBytes?: number;
  /** Counts handshakes and what comes before the echo. */
  readonly meter?: PortMeter;
}

/**
 * Connects to a port's socket and resynchronises. The returned socket is paused; bytes after the echo are put back into it.
 * @throws CaissonError `timeout`, `cancelled`, `unavailable` when the socket ends, `guest_error`
 */
export async function connectPort(path: string, options: PortOptions): Promise<Socket> {
  options.signal.throwIfAborted();
  const line = `CAISSON-SYNC ${randomBytes(16).toString("hex")}\n`;
  const socket = createConnection({ path });
  const finder = new EchoFinder(line, options.maximumStaleBytes);
  const cleanup: (() => void)[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      const resend = setInterval(() => {
        // Lines that are not yet delivered are still queued: more of them would not help.
        if (socket.writableLength === 0) socket.write(line);
      }, resendMs);
      const late = () =>
        reject(
          new CaissonError(
            "timeout",
            `The sandbox did not answer the handshake on its port within ${(options.deadlineMs ?? 0) / 1000} seconds.`,
          ),
        );
      const deadline = options.deadlineMs === undefined ? undefined : setTimeout(late, options.deadlineMs);
      const onAbort = () => reject(new CaissonError("cancelled", "Connecting to the sandbox was cancelled."));
      const onEnd = () => reject(new CaissonError("unavailable", "The sandbox closed its port."));
      const onData = (chunk: Buffer) => {
        try {
          if (options.meter?.stale(chunk.length) === false) throw flooded();
          const rest = finder.push(chunk);
          if (rest === undefined) return;
          socket.pause();
          socket.off("data", onData);
          if (rest.length > 0) socket.unshift(rest);
          resolve();
        } catch (error) {
          reject(error);
        }
      };
      cleanup.push(() => {
        clearInterval(resend);
        clearTimeout(deadline);
        options.signal.removeEventListener("abort", onAbort);
        socket.off("end", onEnd).off("error", onEnd).off("close", onEnd).off("data", onData);
      });
      options.signal.addEventListener("abort", onAbort);
      socket.once("connect", () => {
        if (options.meter?.connecting() === false) reject(flooded());
      });
      socket.on("end", onEnd).on("error", onEnd).on("close", onEnd).on("data", onData);
      socket.write(line);
    });
    return socket;
  } catch (error) {
    socket.on("error", () => undefined);
    socket.destroy();
    throw error;
  } finally {
    for (const step of cleanup) step();
  }
}

function flooded(): CaissonError {
  return new CaissonError("guest_error", "The sandbox floods its port; nothing more is read from it.");
}

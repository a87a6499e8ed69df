/** Outgoing frames of one connection: replies at once, streams in turns and only as fast as the socket sends (wire contract 3.5). */
import type { WebSocket } from "ws";

/** Frames of streams wait while more bytes than this are unsent. A reply waits behind at most as many. */
const highWater = 256 * 1024;

/** Size of a frame with 64 KiB of data in base64, about. */
const frameBytes = 88 * 1024;

interface Waiter {
  readonly grant: () => void;
}

export class Sender {
  readonly #socket: WebSocket;
  /** First come, first served. A stream queues again after each frame, so streams take turns. */
  readonly #waiters: Waiter[] = [];
  readonly #onSent = () => this.#serve();

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  /** Bytes that the socket has not taken. */
  get unsent(): number {
    return this.#socket.bufferedAmount;
  }

  /** Sends a reply, a pong, or a frame of a stream that has its turn. Does nothing once the socket closes. */
  send(frame: string): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(frame, this.#onSent);
  }

  /** Resolves when one bulk frame may be sent. @throws the reason of the signal */
  turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#waiters.length === 0 && this.unsent < highWater) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(signal.reason as Error);
      };
      const waiter = {
        grant: () => {
          signal.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiters.push(waiter);
    });
  }

  /** Gives a granted turn back unused. */
  pass(): void {
    this.#serve();
  }

  #serve(): void {
    // A grant is used in a later microtask, so room is counted here in whole frames.
    for (let room = highWater - this.unsent; room > 0; room -= frameBytes) this.#waiters.shift()?.grant();
  }
}

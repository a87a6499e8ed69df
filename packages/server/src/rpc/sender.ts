/** Outgoing frames of one connection: replies at once, streams in turns and only as fast as the socket sends (wire contract 3.5). */
import type { WebSocket } from "ws";
import type { Turn } from "../kernel/turns.ts";

/** Frames of streams wait while more bytes than this are unsent. A reply waits behind at most as many. */
const highWater = 256 * 1024;

/** Size of a frame with 64 KiB of data in base64, about. */
const frameBytes = 88 * 1024;

/** Bytes of one piece of a large frame, about. */
const pieceBytes = 256 * 1024;

interface Waiter {
  readonly grant: () => void;
}

/** A frame that waits until the large frame before it is complete. */
interface Queued {
  readonly frame: string;
  readonly onSent: (() => void) | undefined;
}

export class Sender {
  readonly #socket: WebSocket;
  readonly #turn: Turn;
  /** First come, first served. A stream queues again after each frame, so streams take turns. */
  readonly #waiters: Waiter[] = [];
  readonly #queued: Queued[] = [];
  #queuedBytes = 0;
  #large: Promise<void> | undefined;
  /** Turns that were granted, and neither used nor given back. */
  #granted = 0;

  /** @param turn of the organisation */
  constructor(socket: WebSocket, turn: Turn) {
    this.#socket = socket;
    this.#turn = turn;
  }

  /** Bytes that the socket has not taken. */
  get unsent(): number {
    return this.#socket.bufferedAmount + this.#queuedBytes;
  }

  /** Settles when the last large frame is complete. Undefined: there is none. */
  get idle(): Promise<void> | undefined {
    return this.#large;
  }

  /**
   * Sends a reply, a pong, or a frame of a stream that is no bulk. Does nothing once the socket closes.
   * @param onSent called once, when the frame takes no memory any more
   */
  send(frame: string, onSent?: () => void): void {
    if (this.#socket.readyState !== this.#socket.OPEN) onSent?.();
    else if (this.#large !== undefined) {
      this.#queued.push({ frame, onSent });
      this.#queuedBytes += frame.length;
    } else this.#write(frame, onSent);
  }

  #write(frame: string, onSent: (() => void) | undefined): void {
    this.#socket.send(frame, () => {
      this.#turn.enter();
      onSent?.();
      this.#serve();
    });
  }

  /**
   * Sends one frame as a fragmented message, only as fast as the client reads. Other frames wait for its end.
   * @param pieces text of the frame. Made while it is sent; it must not fail
   * @param onSent see `send`
   */
  sendLarge(pieces: Iterable<string>, onSent: () => void): void {
    const before = this.#large ?? Promise.resolve();
    const done = before
      .then(() => this.#sendPieces(pieces))
      .then(() => {
        onSent();
        if (this.#large !== done) return;
        this.#large = undefined;
        this.#queuedBytes = 0;
        for (const { frame, onSent: sent } of this.#queued.splice(0)) this.send(frame, sent);
        this.#serve();
      });
    this.#large = done;
  }

  async #sendPieces(pieces: Iterable<string>): Promise<void> {
    const socket = this.#socket;
    const turn = this.#turn;
    let text = "";
    for (const piece of pieces) {
      text += piece;
      if (!turn.hasTime()) {
        await turn.time();
        turn.enter();
      }
      if (text.length < pieceBytes) continue;
      if (socket.readyState !== socket.OPEN) return;
      await new Promise<void>((resolve) => socket.send(text, { fin: false }, () => resolve()));
      turn.enter();
      text = "";
    }
    if (socket.readyState === socket.OPEN)
      await new Promise<void>((resolve) => socket.send(text, { fin: true }, () => resolve()));
  }

  /**
   * Resolves when one bulk frame may be sent, and its organisation has time. Then `sendBulk` or `pass` must follow.
   * @throws the reason of the signal
   */
  async turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    // Before the place in the line: whoever has one must use it at once, or pass it on.
    if (!this.#turn.hasTime()) await this.#turn.time();
    signal.throwIfAborted();
    await this.#place(signal);
  }

  #place(signal: AbortSignal): Promise<void> {
    if (this.#large === undefined && this.#waiters.length === 0 && this.#room > 0) {
      this.#granted++;
      return Promise.resolve();
    }
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

  /** Uses a granted turn. @param frame makes the frame, which counts as work of the organisation */
  sendBulk(frame: () => string): void {
    this.#granted--;
    this.#turn.enter();
    this.send(frame());
  }

  /** Gives a granted turn back unused. */
  pass(): void {
    this.#granted--;
    this.#serve();
  }

  /** Bytes. A turn is used in a later microtask than it was granted in, and many streams may wait for the same moment. */
  get #room(): number {
    return highWater - this.unsent - this.#granted * frameBytes;
  }

  #serve(): void {
    if (this.#large !== undefined) return;
    while (this.#waiters.length > 0 && this.#room > 0) {
      this.#granted++;
      this.#waiters.shift()!.grant();
    }
  }
}

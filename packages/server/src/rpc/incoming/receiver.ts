/**
 * Takes the frames of one client one after the other, and stops reading its socket when the client must wait: its organisation has used
 * its time in this turn of the event loop, or there is no memory for what comes next.
 */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import type { Budget, Hold } from "../../kernel/memory/budget.ts";
import type { Turn } from "../../kernel/turns.ts";

/** Bytes of an incomplete frame that need no memory of the sandbox. A frame of a stream is smaller. */
const freeBytes = 256 * 1024;
/** Node keeps each piece of an incomplete frame in a buffer of its own, and a piece can be one byte. Bytes. */
const pieceOverhead = 256;
/** Memory that a frame takes first. Larger ones take the rest of the largest size in a second step, bytes. */
const firstStep = 8 * 2 ** 20;
/** Milliseconds to wait for memory for the first step: as long as it takes. Nothing is held meanwhile. */
const unlimited = 2 ** 31 - 1;
/** Milliseconds for the second step. Several large frames that wait for each other end here. */
const patience = 30_000;

export interface ReceiverOptions {
  readonly socket: WebSocket;
  /** Below the WebSocket. */
  readonly stream: Duplex;
  /** Of the organisation. */
  readonly turn: Turn;
  /** For frames that are large, from the first bytes on until the request has its answer. */
  readonly content: Budget;
  /** Bytes of the largest frame. */
  readonly messageBytes: number;
  readonly signal: AbortSignal;
  /** There is no memory for the rest of a frame. */
  readonly refuse: () => void;
  /**
   * Handles a frame. The receiver goes on when it returns, or when the promise that it returns has settled.
   * @param hold memory that the frame takes; the handler releases it
   */
  readonly handle: (frame: Buffer, hold: Hold | undefined) => void | Promise<void>;
}

export class Receiver {
  readonly #options: ReceiverOptions;
  /** Frames that came while we waited: what was in the socket's last piece. */
  readonly #backlog: { readonly frame: Buffer; readonly hold: Hold | undefined }[] = [];
  /** Reasons not to read. */
  #stops = 0;
  #busy = false;
  #partial = 0;
  #holds: Hold[] = [];
  #steps = 0;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    const { socket, stream, turn } = options;
    // The first and the last listener: between them the WebSocket takes the piece apart and its frames are handled.
    stream.prependListener("data", () => turn.enter());
    stream.on("data", (piece: Buffer) => {
      this.#count(piece.length);
      if (!turn.hasTime()) this.#waitForTurn();
    });
    socket.on("message", (data: Buffer) => this.#onFrame(data));
  }

  /** Stops reading until as many `resume` came. */
  stop(): void {
    if (++this.#stops === 1) this.#options.socket.pause();
  }

  resume(): void {
    if (--this.#stops === 0 && this.#options.socket.readyState === this.#options.socket.OPEN)
      this.#options.socket.resume();
  }

  /** The connection has ended. */
  close(): void {
    for (const hold of this.#holds) hold.release();
    for (const { hold } of this.#backlog.splice(0)) hold?.release();
  }

  #waitForTurn(): void {
    this.stop();
    this.#options.turn.next(() => this.resume());
  }

  /** A frame that grows large takes memory before more of it is read. */
  #count(bytes: number): void {
    this.#partial += bytes + pieceOverhead;
    const { content, messageBytes, signal, refuse } = this.#options;
    const step = this.#steps;
    if (step > 1 || this.#partial <= (step === 0 ? freeBytes : firstStep)) return;
    this.#steps++;
    const wanted = step === 0 ? Math.min(firstStep, messageBytes) : messageBytes - firstStep;
    if (wanted <= 0) return;
    const hold = content.try(wanted);
    if (hold !== undefined) return void this.#holds.push(hold);
    this.stop();
    content
      .take(wanted, { signal, deadline: step === 0 ? unlimited : patience })
      .then(
        (taken) => (signal.aborted ? taken.release() : void this.#holds.push(taken)),
        () => (signal.aborted ? undefined : refuse()),
      )
      .finally(() => this.resume());
  }

  #onFrame(frame: Buffer): void {
    // The frame's own size is enough from now on.
    const [first, second] = this.#holds;
    first?.shrinkTo(Math.min(frame.length, firstStep));
    second?.shrinkTo(Math.max(0, frame.length - firstStep));
    const hold = joined(this.#holds);
    this.#holds = [];
    this.#steps = 0;
    this.#partial = 0;
    this.#backlog.push({ frame, hold });
    if (!this.#busy) this.#run();
  }

  #run(): void {
    const { turn, handle } = this.#options;
    while (this.#backlog.length > 0) {
      if (!turn.hasTime()) return this.#pauseUntil((go) => turn.next(go));
      const { frame, hold } = this.#backlog.shift()!;
      const handled = handle(frame, hold);
      if (handled !== undefined) return this.#pauseUntil((go) => void handled.then(go, go));
    }
    this.#busy = false;
  }

  #pauseUntil(ready: (go: () => void) => void): void {
    this.stop();
    this.#busy = true;
    ready(() => {
      this.resume();
      this.#run();
    });
  }
}

function joined(holds: readonly Hold[]): Hold | undefined {
  if (holds.length < 2) return holds[0];
  return { shrinkTo: () => undefined, release: () => holds.forEach((hold) => hold.release()) };
}

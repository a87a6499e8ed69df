/**
 * A rewriter with a timer: bytes that are held back are given out when the sender has paused. The timer stops while we do not read,
 * because it is unknown then whether the sender has paused, and a guest that stops reading could choose where a value is cut.
 */
import type { Rewriter } from "./rewriter.ts";

/** Milliseconds: as long as the pieces of one message are apart, and not so long that a dialogue drags. */
export const tokenPatience = 5;

export class Paced {
  readonly #rewriter: Rewriter;
  readonly #patience: number;
  readonly #give: (pieces: readonly Buffer[]) => void;
  readonly #failed: (error: Error) => void;
  #reading = true;
  #pause: NodeJS.Timeout | undefined;

  /**
   * @param patience milliseconds without a byte that count as a pause
   * @param give takes what goes on; may call `pause`
   * @param failed gets what the rewriter or `give` throws after a pause, where no caller could catch it
   */
  constructor(
    rewriter: Rewriter,
    patience: number,
    give: (pieces: readonly Buffer[]) => void,
    failed: (error: Error) => void,
  ) {
    this.#rewriter = rewriter;
    this.#patience = patience;
    this.#give = give;
    this.#failed = failed;
  }

  push(chunk: Buffer): void {
    this.#give(this.#rewriter.push(chunk));
    this.#watch();
  }

  end(): void {
    clearTimeout(this.#pause);
    this.#give(this.#rewriter.end());
  }

  /** The sender is not listened to for a while. */
  pause(): void {
    this.#reading = false;
    clearTimeout(this.#pause);
  }

  resume(): void {
    this.#reading = true;
    this.#watch();
  }

  /** Nothing more comes of it by itself. */
  stop(): void {
    clearTimeout(this.#pause);
  }

  #watch(): void {
    clearTimeout(this.#pause);
    if (this.#reading && this.#rewriter.waits) this.#pause = setTimeout(() => this.#paused(), this.#patience);
  }

  #paused(): void {
    try {
      this.#give(this.#rewriter.idle());
    } catch (error) {
      this.#failed(error as Error);
    }
  }
}

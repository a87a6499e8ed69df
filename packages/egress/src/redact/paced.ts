/**
 * A rewriter in its time: what waits goes on when its sender has paused. While it is us who do not listen nobody can tell whether it
 * has, and a guest that stops reading would choose where a value is cut.
 */
import type { Rewriter } from "./rewriter.ts";

/** Milliseconds: as long as the pieces of one message are apart, and not so long that a dialogue drags. */
export const wordPatience = 5;

export class Paced {
  readonly #rewriter: Rewriter;
  readonly #patience: number;
  readonly #give: (pieces: readonly Buffer[]) => void;
  #listening = true;
  #pause: NodeJS.Timeout | undefined;

  /**
   * @param patience milliseconds without a byte that count as a pause
   * @param give takes what goes on; may call `pause`
   */
  constructor(rewriter: Rewriter, patience: number, give: (pieces: readonly Buffer[]) => void) {
    this.#rewriter = rewriter;
    this.#patience = patience;
    this.#give = give;
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
    this.#listening = false;
    clearTimeout(this.#pause);
  }

  resume(): void {
    this.#listening = true;
    this.#watch();
  }

  /** Nothing more comes of it by itself. */
  stop(): void {
    clearTimeout(this.#pause);
  }

  #watch(): void {
    clearTimeout(this.#pause);
    if (this.#listening && this.#rewriter.waits)
      this.#pause = setTimeout(() => this.#give(this.#rewriter.idle()), this.#patience);
  }
}

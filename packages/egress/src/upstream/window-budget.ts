/**
 * The memory that HTTP/2 responses of one sandbox may take. An upstream fills the window of a stream while the guest does not read, so
 * the sum of the windows is memory. A few streams get a wide window, for fast downloads over long distances; when many are open at
 * once, the others get a narrow one.
 */
import { UpstreamFailure } from "./failure.ts";

/** Bytes that an upstream may send before the guest has read. */
export const windows = { wide: 2 * 2 ** 20, narrow: 128 * 1024 } as const;
/** Streams. A cancelled stream counts until it is closed. */
const most = { wide: 16, all: 1024 } as const;

export interface Place {
  readonly window: number;
  leave(): void;
}

export class WindowBudget {
  #wide = 0;
  #all = 0;

  /** @throws UpstreamFailure */
  take(): Place {
    if (this.#all >= most.all)
      throw new UpstreamFailure("upstream-timeout", "Too many cancelled HTTP/2 streams are still closing. Try again.");
    const wide = this.#wide < most.wide;
    this.#all++;
    if (wide) this.#wide++;
    let left = false;
    return {
      window: wide ? windows.wide : windows.narrow,
      leave: () => {
        if (left) return;
        left = true;
        this.#all--;
        if (wide) this.#wide--;
      },
    };
  }
}

/**
 * What the HTTP/2 answers of one sandbox may hold. An upstream fills the window of a stream while the guest does not read, so the
 * windows together are memory. A few streams have a wide one, for a download that is as fast as the way is long; when many are
 * open at once, the others have a narrow one.
 */
import { UpstreamFailure } from "./failure.ts";

/** Bytes that an upstream may send before the guest has read. */
export const windows = { wide: 2 * 2 ** 20, narrow: 128 * 1024 } as const;
/** Streams; those that are being given up count until they have ended. */
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
      throw new UpstreamFailure("upstream-timeout", "Streams that were given up wait for their hosts to take notice");
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

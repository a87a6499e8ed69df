/**
 * Bytes of the server's memory that somebody may make it hold. Whoever holds bytes for a client takes them first. Budgets form a tree:
 * what a sandbox takes counts for its organisation and for the whole server as well.
 *
 * Rule against deadlock: a holder never waits for more of the same budget. It takes all it may need at once, or tries.
 */
import { CaissonError } from "@caisson/protocol";

/** Bytes that were taken. */
export interface Hold {
  /** Gives all but so many bytes back. Never takes more. */
  shrinkTo(bytes: number): void;
  /** Gives all back. Calling it again does nothing. */
  release(): void;
}

/** Divides what was taken at once into equal parts with owners of their own. @param bytes of one part */
export function split(hold: Hold, parts: number, bytes: number): Hold[] {
  let left = parts;
  return Array.from({ length: parts }, () => {
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      hold.shrinkTo(--left * bytes);
    };
    return { shrinkTo: (wanted) => (wanted <= 0 ? release() : undefined), release };
  });
}

interface Waiter {
  readonly bytes: number;
  readonly grant: () => void;
}

export class Budget {
  readonly limit: number;
  readonly #parent: Budget | undefined;
  readonly #waiters: Waiter[] = [];
  /** Children with waiters. */
  readonly #blocked = new Set<Budget>();
  #used = 0;

  /** @param limit bytes */
  constructor(limit: number, parent?: Budget) {
    this.limit = limit;
    this.#parent = parent;
  }

  get used(): number {
    return this.#used;
  }

  /** Takes bytes, or returns undefined when there is no room or others wait. */
  try(bytes: number): Hold | undefined {
    return this.#waiters.length === 0 && this.#hasRoom(bytes) ? this.#take(bytes) : undefined;
  }

  /**
   * Takes bytes as soon as there is room, first come, first served.
   * @param deadline milliseconds
   * @throws CaissonError `resource_exhausted` when `bytes` is above a limit, or there was no room within the deadline
   * @throws the reason of the signal
   */
  async take(bytes: number, { signal, deadline }: { signal: AbortSignal; deadline: number }): Promise<Hold> {
    signal.throwIfAborted();
    const taken = this.try(bytes);
    if (taken !== undefined) return taken;
    if (!this.fits(bytes)) throw exhausted(`${bytes} bytes are more than the limit of ${this.limit} bytes.`);
    const { promise, resolve, reject } = Promise.withResolvers<Hold>();
    const waiter = { bytes, grant: () => resolve(this.#take(bytes)) };
    const leave = (reason: Error) => {
      const index = this.#waiters.indexOf(waiter);
      if (index === -1) return;
      this.#waiters.splice(index, 1);
      reject(reason);
      this.#serve();
    };
    const onAbort = () => leave(signal.reason as Error);
    const timer = setTimeout(
      () => leave(exhausted(`Other calls in progress held it for ${deadline / 1000} seconds.`)),
      deadline,
    );
    signal.addEventListener("abort", onAbort, { once: true });
    this.#waiters.push(waiter);
    this.#serve();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Whether so many bytes could ever be taken. */
  fits(bytes: number): boolean {
    return bytes <= this.limit && (this.#parent?.fits(bytes) ?? true);
  }

  #hasRoom(bytes: number): boolean {
    return this.#used + bytes <= this.limit && (this.#parent === undefined || this.#parent.#hasRoom(bytes));
  }

  #take(bytes: number): Hold {
    this.#change(bytes);
    let held = bytes;
    const shrinkTo = (wanted: number) => {
      const surplus = held - wanted;
      if (surplus <= 0) return;
      held = wanted;
      this.#change(-surplus).#serveDown();
    };
    return { shrinkTo, release: () => shrinkTo(0) };
  }

  /** @returns the root */
  #change(bytes: number): Budget {
    this.#used += bytes;
    return this.#parent === undefined ? this : this.#parent.#change(bytes);
  }

  /** Serves all waiters that this budget or one below it kept waiting. */
  #serveDown(): void {
    this.#serve();
    const blocked = [...this.#blocked];
    this.#blocked.clear();
    for (const child of blocked) child.#serveDown();
  }

  #serve(): void {
    for (let first = this.#waiters[0]; first !== undefined; first = this.#waiters[0]) {
      if (!this.#hasRoom(first.bytes)) {
        this.#markBlocked();
        return;
      }
      this.#waiters.shift();
      first.grant();
    }
  }

  /** Whoever gives bytes back starts at the root, and must find the way down to this budget. */
  #markBlocked(): void {
    if (this.#parent === undefined) return;
    this.#parent.#blocked.add(this);
    this.#parent.#markBlocked();
  }
}

function exhausted(why: string): CaissonError {
  return new CaissonError(
    "resource_exhausted",
    `The server has no memory left for this call. ${why} Make fewer calls at the same time, or read in parts.`,
  );
}

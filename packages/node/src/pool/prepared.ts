/** Clones prepared on a particular root disk, which wait for a request for that root. Made on demand, one after another. */
import { CaissonError } from "@caisson/protocol";
import type { Clone } from "../machine/clone.ts";

type Make = (signal: AbortSignal) => Promise<Clone>;

interface Wish {
  readonly id: string;
  readonly make: Make;
  readonly signal: AbortSignal;
  readonly answer: PromiseWithResolvers<void>;
}

interface Prepared {
  readonly clone: Clone;
  /** Resolves when it has ended; never once it was handed out. */
  readonly ended: PromiseWithResolvers<void>;
}

export class PreparedClones {
  readonly #wishes: Wish[] = [];
  /** By the id that the caller chose, the oldest first. */
  readonly #clones = new Map<string, Prepared>();
  readonly #ending = new Map<string, Promise<void>>();

  get size(): number {
    return this.#clones.size;
  }

  /** Whether a machine is to be made. */
  get wanted(): boolean {
    return this.#wishes.length > 0;
  }

  /** Waits until its turn has come (`makeNext`), and resolves when the clone is ready. */
  ask(id: string, make: Make, signal: AbortSignal): Promise<void> {
    const wish: Wish = { id, make, signal, answer: Promise.withResolvers() };
    const withdraw = () => {
      const index = this.#wishes.indexOf(wish);
      if (index === -1) return;
      this.#wishes.splice(index, 1);
      wish.answer.reject(cancelled());
    };
    this.#wishes.push(wish);
    if (signal.aborted) withdraw();
    else signal.addEventListener("abort", withdraw, { once: true });
    return wish.answer.promise.finally(() => signal.removeEventListener("abort", withdraw));
  }

  /** Makes the machine that was asked for first. The caller of `ask` gets the result. */
  async makeNext(closing: AbortSignal): Promise<void> {
    const wish = this.#wishes.shift();
    if (wish === undefined) return;
    const signal = AbortSignal.any([closing, wish.signal]);
    try {
      const clone = await wish.make(signal);
      if (signal.aborted) {
        await clone.discard();
        throw cancelled();
      }
      this.#keep(wish.id, clone);
      wish.answer.resolve();
    } catch (error) {
      wish.answer.reject(error);
    }
  }

  /** Takes a clone; the caller owns it from now on. */
  claim(id: string): Clone | undefined {
    const prepared = this.#clones.get(id);
    this.#clones.delete(id);
    return prepared?.clone;
  }

  /** Resolves when a clone has ended without being handed out. @throws the reason of the signal */
  async wait(id: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const prepared = this.#clones.get(id);
    if (prepared === undefined) return this.#ending.get(id);
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    await Promise.race([prepared.ended.promise, aborted.promise]).finally(() =>
      signal.removeEventListener("abort", abort),
    );
  }

  /** Ends a clone. Answers when nothing of it is left. Idempotent. */
  discard(id: string): Promise<void> {
    const ending = this.#ending.get(id);
    if (ending !== undefined) return ending;
    const prepared = this.#clones.get(id);
    if (prepared === undefined) return Promise.resolve();
    this.#clones.delete(id);
    const done = prepared.clone.discard();
    this.#ending.set(id, done);
    done.then(prepared.ended.resolve, prepared.ended.reject);
    prepared.ended.promise.catch(() => undefined);
    return done.finally(() => this.#ending.delete(id));
  }

  /** Ends the oldest clone. */
  async shed(): Promise<void> {
    const [oldest] = this.#clones.keys();
    if (oldest !== undefined) await this.discard(oldest);
  }

  /** Rejects all requests that wait. */
  refuse(error: CaissonError): void {
    for (const wish of this.#wishes.splice(0)) wish.answer.reject(error);
  }

  async close(): Promise<void> {
    this.refuse(cancelled());
    await Promise.all([...this.#clones.keys()].map((id) => this.discard(id)));
    await Promise.all(this.#ending.values());
  }

  #keep(id: string, clone: Clone): void {
    this.#clones.set(id, { clone, ended: Promise.withResolvers() });
    void clone.vm.exited.then(() => {
      if (this.#clones.get(id)?.clone === clone) void this.discard(id).catch(() => undefined);
    });
  }
}

function cancelled(): CaissonError {
  return new CaissonError("cancelled", "Preparing the machine was cancelled.");
}

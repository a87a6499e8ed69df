/** Clones that stand on a root disk of their own and wait for whoever asks for that root: made on demand, one by one. */
import { CaissonError, type StandingMachine } from "@caisson/protocol";
import type { Clone } from "../machine/clone.ts";

type Make = (signal: AbortSignal) => Promise<Clone>;

interface Wish {
  readonly make: Make;
  readonly signal: AbortSignal;
  readonly answer: PromiseWithResolvers<StandingMachine>;
}

export class StandingClones {
  readonly #wishes: Wish[] = [];
  /** With what resolves when they have ended. */
  readonly #clones = new Map<Clone, PromiseWithResolvers<void>>();

  get size(): number {
    return this.#clones.size;
  }

  /** Whether a machine is to be made. */
  get wanted(): boolean {
    return this.#wishes.length > 0;
  }

  /** Waits until its turn has come (`makeNext`). */
  ask(make: Make, signal: AbortSignal): Promise<StandingMachine> {
    const wish: Wish = { make, signal, answer: Promise.withResolvers() };
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

  /** Makes the machine that was asked for first. The answer goes to who asked. */
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
      wish.answer.resolve(this.#keep(clone, wish.signal));
    } catch (error) {
      wish.answer.reject(error);
    }
  }

  /** Takes a clone that `fits`; the caller owns it from now on. */
  claim(fits: (clone: Clone) => boolean): Clone | undefined {
    const clone = [...this.#clones.keys()].find(fits);
    if (clone !== undefined) this.#clones.delete(clone);
    return clone;
  }

  /** Ends one, whichever has stood longest. */
  async shed(): Promise<void> {
    const [oldest] = this.#clones.keys();
    if (oldest !== undefined) await this.#end(oldest);
  }

  /** Refuses everybody who waits. */
  refuse(error: CaissonError): void {
    for (const wish of this.#wishes.splice(0)) wish.answer.reject(error);
  }

  async close(): Promise<void> {
    this.refuse(cancelled());
    await Promise.all([...this.#clones.keys()].map((clone) => this.#end(clone)));
  }

  #keep(clone: Clone, signal: AbortSignal): StandingMachine {
    const ended = Promise.withResolvers<void>();
    this.#clones.set(clone, ended);
    const end = () => void this.#end(clone);
    signal.addEventListener("abort", end, { once: true });
    void clone.vm.exited.then(end).finally(() => signal.removeEventListener("abort", end));
    return { ended: ended.promise };
  }

  async #end(clone: Clone): Promise<void> {
    const ended = this.#clones.get(clone);
    if (ended === undefined) return;
    this.#clones.delete(clone);
    await clone.discard().then(ended.resolve, ended.reject);
  }
}

function cancelled(): CaissonError {
  return new CaissonError("cancelled", "The machine is no longer wanted.");
}

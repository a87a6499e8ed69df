/** Clones that wait for an owner: restored, personalized, warmed up and paused. */
import { setTimeout as sleep } from "node:timers/promises";
import { CaissonError, type Config } from "@caisson/protocol";
import type { Logger } from "pino";
import { availableMebibytes } from "@caisson/linux";
import type { Clone } from "../machine/clone.ts";
import { PreparedClones } from "./prepared.ts";
import { hasMemoryToPrepare, poolTarget } from "./target.ts";

export interface PoolOptions {
  readonly config: Config["pool"];
  /** A paused clone, ready to be handed out. */
  readonly make: (signal: AbortSignal) => Promise<Clone>;
  /** Whether somebody waits for a machine right now. */
  readonly busy: () => boolean;
  /** Whether more of them wait than are started at a time. */
  readonly crowded: () => boolean;
  readonly log: Logger;
}

/** After a claim its owner runs the first commands; a refill waits for them. */
const quietMs = 1000;
/** Under constant demand there is no quiet moment; an empty pool waits at most this long. */
const patienceMs = 5000;
const retryMs = 10_000;
/** Demand is what was asked for within this time. */
const demandWindowMs = 60_000;

export class Pool {
  readonly #options: PoolOptions;
  readonly #clones: Clone[] = [];
  readonly prepared = new PreparedClones();
  readonly #demand: number[] = [];
  readonly #closing = new AbortController();
  #filling: Promise<void> | undefined;
  #wanted = Promise.withResolvers<void>();
  #lastUse = -Infinity;
  #target = 0;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#clones.length;
  }

  get target(): number {
    return this.#target;
  }

  start(): void {
    if (this.#options.config.size > 0) this.#filling ??= this.#fill();
  }

  /** Resolves when there is a clone, or none is to be expected, or the deadline has passed. */
  async firstClone(deadlineMs: number): Promise<void> {
    const end = performance.now() + deadlineMs;
    while (
      this.#filling !== undefined &&
      this.#clones.length === 0 &&
      performance.now() < end &&
      !this.#closing.signal.aborted
    )
      await sleep(20);
  }

  /** Takes a clone that `fits`; the caller owns it from now on. Counts as demand either way. */
  claim(fits: (clone: Clone) => boolean): Clone | undefined {
    this.#lastUse = performance.now();
    this.#demand.push(this.#lastUse);
    this.#wanted.resolve();
    return this.takeReady(fits);
  }

  /** The same for somebody whose demand was counted. */
  takeReady(fits: (clone: Clone) => boolean): Clone | undefined {
    const index = this.#clones.findIndex(fits);
    if (index === -1) return undefined;
    // It has to be replaced.
    this.#wanted.resolve();
    return this.#clones.splice(index, 1)[0];
  }

  /**
   * Has a clone made and kept that was prepared on a root disk, as soon as the pool is full and the host quiet.
   * @param id names it in `prepared`
   * @param signal gives up the preparation
   * @throws CaissonError `resource_exhausted`, `cancelled`, or what `make` throws
   */
  async prepare(id: string, make: (signal: AbortSignal) => Promise<Clone>, signal: AbortSignal): Promise<void> {
    if (this.#filling === undefined || this.#closing.signal.aborted)
      throw new CaissonError(
        "cancelled",
        "This node does not prepare machines, because its pool is off or the node is closing.",
      );
    const ready = this.prepared.ask(id, make, signal);
    // The request came because such a root was just used; its machine may be claimed at any moment.
    this.#lastUse = performance.now();
    this.#wanted.resolve();
    return ready;
  }

  /** Takes a clone that was prepared on a root disk; the caller owns it from now on. */
  claimPrepared(id: string): Clone | undefined {
    this.#lastUse = performance.now();
    return this.prepared.claim(id);
  }

  /** Ends one machine, because memory is short. @returns whether there was one */
  async shed(): Promise<boolean> {
    if (this.prepared.size > 0) {
      await this.prepared.shed();
      return true;
    }
    const clone = this.#clones.pop();
    await this.#discard(clone);
    return clone !== undefined;
  }

  /** Ends all clones and stops filling. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#wanted.resolve();
    await this.#filling;
    await this.prepared.close();
    await Promise.all(this.#clones.splice(0).map((clone) => clone.discard()));
  }

  async #fill(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.#adapt();
      const full = this.#clones.length >= this.#target;
      if (full && !this.prepared.wanted) {
        this.#wanted = Promise.withResolvers();
        // Also checks from time to time, because demand falls and memory becomes free.
        await Promise.race([
          this.#wanted.promise,
          sleep(demandWindowMs / 4, undefined, { signal, ref: false }).catch(() => undefined),
        ]);
        await this.#quiet();
        continue;
      }
      if (full) {
        await this.#makePrepared();
        continue;
      }
      try {
        await this.#giveWay();
        const clone = await this.#options.make(signal);
        if (signal.aborted) {
          await this.#discard(clone);
          return;
        }
        this.#clones.push(clone);
        void clone.vm.exited.then(() => this.#drop(clone));
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.warn({ err: error }, "making a clone for the pool failed; trying again");
        await sleep(retryMs, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  /** Sets the target, and gives clones back when memory became scarce. */
  async #adapt(): Promise<void> {
    const { config } = this.#options;
    const oldest = performance.now() - demandWindowMs;
    while ((this.#demand[0] ?? Infinity) < oldest) this.#demand.shift();
    let available = await availableMebibytes();
    while (this.prepared.size > 0 && !hasMemoryToPrepare(config.minFreeMemory, { available, making: false })) {
      this.#options.log.info({ available }, "memory is short: a prepared machine is ended");
      await this.prepared
        .shed()
        .catch((error: unknown) => this.#options.log.error({ err: error }, "a prepared machine was not removed"));
      available = await availableMebibytes();
    }
    this.#target = poolTarget({ config, available, pooled: this.#clones.length, demand: this.#demand.length });
    while (this.#clones.length > this.#target) await this.#discard(this.#clones.pop());
  }

  async #makePrepared(): Promise<void> {
    const available = await availableMebibytes();
    if (hasMemoryToPrepare(this.#options.config.minFreeMemory, { available, making: true }))
      await this.prepared.makeNext(this.#closing.signal);
    else
      this.prepared.refuse(
        new CaissonError(
          "resource_exhausted",
          `The node has ${available} MiB of free memory, not enough to prepare another machine.`,
        ),
      );
  }

  async #quiet(): Promise<void> {
    const since = performance.now();
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const now = performance.now();
      const impatient = this.#clones.length === 0 && now - since > patienceMs && !this.#options.crowded();
      if (impatient || (!this.#options.busy() && now - this.#lastUse >= quietMs)) return;
      await sleep(100, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** A clone that is made now would make those later who wait already. */
  async #giveWay(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted && this.#options.crowded())
      await sleep(100, undefined, { signal, ref: false }).catch(() => undefined);
    signal.throwIfAborted();
  }

  async #drop(clone: Clone): Promise<void> {
    const index = this.#clones.indexOf(clone);
    if (index === -1) return;
    this.#clones.splice(index, 1);
    this.#options.log.warn("a clone in the pool crashed");
    await this.#discard(clone);
    this.#wanted.resolve();
  }

  /** Never rejects: the pool goes on, and the next start of the node removes what is left. */
  async #discard(clone: Clone | undefined): Promise<void> {
    await clone
      ?.discard()
      .catch((error: unknown) => this.#options.log.error({ err: error }, "a clone of the pool was not removed"));
  }
}

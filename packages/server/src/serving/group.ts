/**
 * The instances of one revision in one timeline: starts them from zero, shares requests among them, lets requests wait while none is
 * ready, and replaces those that end.
 */
import type { Duplex } from "node:stream";
import { CaissonError, toCaissonError } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Instance } from "./instance.ts";
import { Load } from "./scaling/load.ts";
import { withoutOutput } from "./output.ts";
import { decide, panicWindow, stableWindow, type ScaleLimits, type ScaleState } from "./scaling/scale.ts";

/** Milliseconds of the pause after a first failure, and the longest. It doubles with each one. */
const firstPause = 1_000;
const longestPause = 60_000;
/** An instance that listened for so long, milliseconds, does not count as a failed start when it ends. */
const stableAfter = 30_000;

export interface GroupLimits extends ScaleLimits {
  /** Most requests of one instance at a time. */
  readonly concurrency: number;
  /** Most requests that wait. */
  readonly queue: number;
  /** Milliseconds. */
  readonly queueTimeout: number;
  readonly drainTimeout: number;
}

export interface GroupOptions {
  /** They may change at any time. */
  readonly limits: () => GroupLimits;
  /** Makes an instance, which starts at once. @throws CaissonError, the reason of the signal */
  readonly make: (signal: AbortSignal) => Promise<Instance>;
  readonly log: Logger;
}

interface Waiter {
  readonly grant: (instance: Instance) => void;
  readonly refuse: (error: CaissonError) => void;
}

export class Group {
  readonly #options: GroupOptions;
  readonly #instances = new Set<Instance>();
  readonly #waiters: Waiter[] = [];
  readonly #load = new Load(performance.now());
  /** Instances that are being made. */
  readonly #making = new Set<Promise<Instance>>();
  readonly #closing = new AbortController();
  #state: ScaleState = {};
  #lastRequest = performance.now();
  #failures = 0;
  /** No start before, on the clock of `performance.now`. */
  #notBefore = -Infinity;
  #lastFailure = "";

  constructor(options: GroupOptions) {
    this.#options = options;
  }

  get instances(): ReadonlySet<Instance> {
    return this.#instances;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** Whether nothing is lost with it. Failures are remembered until the longest pause is over. */
  get idle(): boolean {
    if (this.#instances.size + this.#making.size + this.#waiters.length > 0) return false;
    return performance.now() - this.#notBefore > longestPause;
  }

  /** Whether an instance serves. */
  get listening(): boolean {
    return [...this.#instances].some(({ listening }) => listening);
  }

  /** Begins to start the first instance, unless there is one: somebody will ask soon. */
  expect(): void {
    if (this.#count === 0 && !this.#closed && performance.now() >= this.#notBefore) this.#startOne();
  }

  /**
   * A connection to an instance, which is started when there is none.
   * @throws CaissonError `unavailable` when the app does not start, `resource_exhausted` when too many requests wait
   */
  async connect(signal: AbortSignal): Promise<Duplex> {
    this.#load.change(1, performance.now());
    let over = false;
    const done = () => {
      if (over) return;
      over = true;
      this.#lastRequest = performance.now();
      this.#load.change(-1, performance.now());
    };
    try {
      for (let attempt = 0; ; attempt++) {
        const instance = await this.#acquire(signal);
        try {
          const stream = await instance.dial(signal);
          const close = () => {
            done();
            instance.release();
            this.#serve();
          };
          if (stream.closed) close();
          else stream.once("close", close);
          return stream;
        } catch (error) {
          instance.release();
          this.#serve();
          // Nothing was sent, so another instance may do it.
          if (attempt >= 2 || signal.aborted || toCaissonError(error).code !== "unavailable") throw error;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    } catch (error) {
      done();
      throw error;
    }
  }

  /**
   * Does something in an instance, which is started when there is none. It counts as a request.
   * @throws CaissonError as `connect`, and what the work throws
   */
  async use<T>(work: (instance: Instance) => Promise<T>, signal: AbortSignal): Promise<T> {
    this.#load.change(1, performance.now());
    try {
      const instance = await this.#acquire(signal);
      try {
        return await work(instance);
      } finally {
        instance.release();
        this.#serve();
      }
    } finally {
      this.#lastRequest = performance.now();
      this.#load.change(-1, performance.now());
    }
  }

  /** The instance with the fewest requests that can take one more. */
  #free(): Instance | undefined {
    const { concurrency } = this.#options.limits();
    let best: Instance | undefined;
    for (const instance of this.#instances) {
      if (!instance.listening || instance.active >= concurrency) continue;
      if (best === undefined || instance.active < best.active) best = instance;
    }
    return best;
  }

  async #acquire(signal: AbortSignal): Promise<Instance> {
    signal.throwIfAborted();
    if (this.#closed) throw gone();
    const free = this.#waiters.length === 0 ? this.#free() : undefined;
    if (free !== undefined) {
      free.active++;
      return free;
    }
    const { queue, queueTimeout } = this.#options.limits();
    const now = performance.now();
    if (this.#count === 0 && now < this.#notBefore)
      throw new CaissonError(
        "unavailable",
        `The app does not start. It is tried again in ${Math.ceil((this.#notBefore - now) / 1000)} s. ${this.#lastFailure}`,
      );
    if (this.#waiters.length >= queue)
      throw new CaissonError(
        "resource_exhausted",
        "Too many requests wait for this app to start. Try again in a moment.",
      );
    const { promise, resolve, reject } = Promise.withResolvers<Instance>();
    const waiter: Waiter = { grant: resolve, refuse: reject };
    const leave = (error: Error) => {
      const index = this.#waiters.indexOf(waiter);
      if (index === -1) return;
      this.#waiters.splice(index, 1);
      reject(error);
    };
    const abort = () => leave(signal.reason as Error);
    const timer = setTimeout(
      () => leave(new CaissonError("timeout", "The app did not become available in time. Try again.")),
      queueTimeout,
    );
    signal.addEventListener("abort", abort, { once: true });
    this.#waiters.push(waiter);
    this.expect();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  }

  #serve(): void {
    for (;;) {
      if (this.#waiters.length === 0) return;
      const free = this.#free();
      if (free === undefined) return;
      free.active++;
      this.#waiters.shift()!.grant(free);
    }
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Those that serve or start. */
  get #count(): number {
    let count = this.#making.size;
    for (const { retired } of this.#instances) if (!retired) count++;
    return count;
  }

  /**
   * Starts an instance and waits until it listens.
   * @throws CaissonError why it does not
   */
  async start(): Promise<Instance> {
    if (this.#closed) throw gone();
    const instance = await this.#make();
    await instance.ready;
    this.#serve();
    return instance;
  }

  /** Failures are counted where they are found. */
  #startOne(): void {
    void this.start().catch(() => undefined);
  }

  #make(): Promise<Instance> {
    const making = this.#options.make(this.#closing.signal).then(
      (instance) => {
        this.#making.delete(making);
        this.#instances.add(instance);
        if (this.#closed) void instance.drain(0);
        let listensSince = Infinity;
        instance.ready.then(
          () => (listensSince = performance.now()),
          () => undefined,
        );
        void instance.ended.then((why) => this.#ended(instance, why, performance.now() - listensSince));
        return instance;
      },
      (error: unknown) => {
        this.#making.delete(making);
        // Those that become an instance are counted when they end.
        if (this.#count === 0) this.#failed(toCaissonError(error));
        throw error;
      },
    );
    this.#making.add(making);
    return making;
  }

  #ended(instance: Instance, why: string | undefined, ran: number): void {
    const { log } = this.#options;
    void instance.stop().then(() => this.#instances.delete(instance));
    if (ran > stableAfter) {
      this.#failures = 0;
      this.#notBefore = -Infinity;
    }
    if (why === undefined) return;
    log.info({ instance: instance.id, why: withoutOutput(why) }, "an instance of an app ended");
    if (ran <= stableAfter) this.#failed(new CaissonError("unavailable", why));
    else if (this.#waiters.length > 0) this.expect();
  }

  /** Pauses, and refuses who waits unless another instance serves or starts. */
  #failed(error: CaissonError): void {
    const pause = Math.min(longestPause, firstPause * 2 ** this.#failures);
    this.#failures++;
    this.#notBefore = performance.now() + pause;
    this.#lastFailure = error.message.slice(0, 1000);
    if (this.#count > 0) return;
    const refusal = new CaissonError("unavailable", `The app does not start. ${this.#lastFailure}`, { cause: error });
    for (const { refuse } of this.#waiters.splice(0)) refuse(refusal);
  }

  /** Brings the number of instances to what the load asks for. To be called every second or two. */
  scale(): void {
    if (this.#closed) return;
    const now = performance.now();
    const limits = this.#options.limits();
    const count = this.#count;
    const { desired, state } = decide(
      now,
      {
        stable: this.#load.covers(stableWindow, now) ? this.#load.average(stableWindow, now) : undefined,
        panic: this.#load.average(panicWindow, now),
        current: this.#load.current,
        instances: count,
        lastRequest: this.#load.current > 0 ? now : this.#lastRequest,
      },
      limits,
      this.#state,
    );
    this.#state = state;
    if (desired > count && now >= this.#notBefore) for (let i = count; i < desired; i++) this.#startOne();
    if (desired < count) this.#shrink(count - desired);
    if (this.#waiters.length > 0) this.#serve();
  }

  /** Ends those with the fewest requests. What still starts is not ended. */
  #shrink(by: number): void {
    const ready = [...this.#instances].filter(({ listening }) => listening).toSorted((a, b) => a.active - b.active);
    for (const instance of ready.slice(0, by)) void instance.drain(this.#options.limits().drainTimeout);
  }

  /** Takes no more requests and ends all instances. @param drain milliseconds for requests under way */
  async close(drain = this.#options.limits().drainTimeout): Promise<void> {
    this.#closing.abort(gone());
    for (const { refuse } of this.#waiters.splice(0)) refuse(gone());
    await Promise.allSettled(this.#making);
    await Promise.all([...this.#instances].map((instance) => instance.drain(drain)));
  }
}

function gone(): CaissonError {
  return new CaissonError("gone", "This app, or this revision of it, is no longer served.");
}

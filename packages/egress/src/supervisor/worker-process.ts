/** One worker process: started, spoken to, watched, started again. */
import type { ChildProcess } from "node:child_process";
import { CaissonError, type EgressEvent } from "@caisson/protocol";
import type { Logger } from "pino";
import type { FromWorker, ToWorker, WorkerConfig } from "../worker/messages.ts";
import { spawnWorker } from "./spawn-worker.ts";

/** Milliseconds. */
const limits = {
  call: 15_000,
  ping: 5_000,
  restartFirst: 100,
  restartMost: 5_000,
  stop: 2_000,
} as const;

type Call = ToWorker extends infer M ? (M extends { call: number } ? Omit<M, "call"> : never) : never;

interface Answer {
  readonly caCertificatePem?: string;
}

export interface WorkerListener {
  onEvents(events: readonly EgressEvent[], lost: number): void;
  onFlood(sandboxId: string, detail: string): void;
  /** The process is new and knows nothing; what belongs to it has to be attached. */
  onStart(): void;
}

export class WorkerProcess {
  readonly #config: WorkerConfig;
  readonly #listener: WorkerListener;
  readonly #log: Logger;
  readonly #calls = new Map<number, PromiseWithResolvers<Answer>>();
  /** Undefined while none runs. */
  #child: ChildProcess | undefined;
  #nextCall = 1;
  #restartWait: number = limits.restartFirst;
  #timers = new Set<NodeJS.Timeout>();
  #closed = false;

  constructor(config: WorkerConfig, listener: WorkerListener, log: Logger) {
    this.#config = config;
    this.#listener = listener;
    this.#log = log;
    this.#start();
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  #start(): void {
    const child = spawnWorker((error) => this.#log.error({ err: error }, "an egress worker could not be started"));
    if (child === undefined) return this.#startLater();
    this.#child = child;
    const startedAt = performance.now();
    child.on("message", (message: FromWorker) => this.#take(message));
    child.once("exit", () => this.#lost(child, startedAt));
    send(child, { type: "configure", config: this.#config });
    this.#watch(child);
    this.#listener.onStart();
  }

  #startLater(): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#closed) this.#start();
    }, this.#restartWait);
    this.#timers.add(timer);
    this.#restartWait = Math.min(limits.restartMost, this.#restartWait * 2);
  }

  /**
   * Sends before it returns: what is called for later comes later to the worker.
   * @throws CaissonError `unavailable` when no process runs or it ends first, `timeout`, `internal`
   */
  async call(message: Call): Promise<Answer> {
    if (this.#child === undefined) throw ended();
    const call = this.#nextCall++;
    const answer = Promise.withResolvers<Answer>();
    const late = (): void => answer.reject(new CaissonError("timeout", "The egress proxy did not answer in time."));
    const timer = setTimeout(late, limits.call);
    this.#calls.set(call, answer);
    try {
      send(this.#child, { ...message, call });
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#calls.delete(call);
    }
  }

  #take(message: FromWorker): void {
    if (message.type === "events") return this.#listener.onEvents(message.events, message.lost);
    if (message.type === "flood") return this.#listener.onFlood(message.sandboxId, message.detail);
    const waiting = this.#calls.get(message.call);
    if (message.type === "done") waiting?.resolve(message);
    else waiting?.reject(new CaissonError("internal", `The egress proxy failed: ${message.message}`));
  }

  /** A process that is alive but hangs holds sandboxes without serving them. */
  #watch(child: ChildProcess): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (this.#child !== child || this.#closed) return;
      this.call({ type: "ping" }).then(
        () => this.#watch(child),
        () => child.kill("SIGKILL"),
      );
    }, limits.ping);
    timer.unref();
    this.#timers.add(timer);
  }

  #lost(child: ChildProcess, startedAt: number): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    for (const waiting of this.#calls.values()) waiting.reject(ended());
    if (this.#closed) return;
    const { exitCode, signalCode } = child;
    this.#log.error({ exitCode, signalCode }, "an egress worker ended and is being started again");
    if (performance.now() - startedAt > 10 * limits.restartMost) this.#restartWait = limits.restartFirst;
    this.#startLater();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    const child = this.#child;
    if (child === undefined) return;
    const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    if (child.connected) child.disconnect();
    const kill = setTimeout(() => child.kill("SIGKILL"), limits.stop);
    await exited;
    clearTimeout(kill);
  }
}

/** A process that cannot get messages must not go on. Killing it ends all calls. */
function send(child: ChildProcess, message: ToWorker): void {
  child.send(message, (error) => void (error && child.kill("SIGKILL")));
}

function ended(): CaissonError {
  return new CaissonError("unavailable", "The egress proxy has crashed and is being restarted. Try again.");
}

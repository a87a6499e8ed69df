/** One worker process: started, spoken to, watched, started again. */
import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { CaissonError, type EgressEvent } from "@caisson/protocol";
import type { FromWorker, ToWorker, WorkerConfig } from "../worker/messages.ts";

const main = fileURLToPath(new URL("../worker/main.ts", import.meta.url));

/** Milliseconds; `heap` and `young` are MiB. Of 1 to 16, 4 cost a body the least. */
const limits = {
  call: 15_000,
  ping: 5_000,
  restartFirst: 100,
  restartMost: 5_000,
  stop: 2_000,
  heap: 2048,
  young: 4,
} as const;

type Call = ToWorker extends infer M ? (M extends { call: number } ? Omit<M, "call"> : never) : never;

interface Answer {
  readonly caCertificatePem?: string;
}

export interface WorkerListener {
  onEvents(events: readonly EgressEvent[], lost: number): void;
  /** The process is new and knows nothing; what belongs to it has to be attached again. */
  onRestart(): void;
}

export class WorkerProcess {
  readonly #config: WorkerConfig;
  readonly #listener: WorkerListener;
  readonly #calls = new Map<number, PromiseWithResolvers<Answer>>();
  /** Undefined while none runs. */
  #child: ChildProcess | undefined;
  #nextCall = 1;
  #restartWait: number = limits.restartFirst;
  #timers = new Set<NodeJS.Timeout>();
  #closed = false;

  constructor(config: WorkerConfig, listener: WorkerListener) {
    this.#config = config;
    this.#listener = listener;
    this.#start();
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  #start(): void {
    // `ulimit -c 0`: no core dump of a process that holds secrets. Nothing but the code's path stands in its arguments,
    // and its environment is empty but for the channel; secrets come over the channel.
    const child = spawn(
      "/bin/sh",
      [
        "-c",
        'ulimit -c 0; exec "$0" "$@"',
        process.execPath,
        "--disable-warning=ExperimentalWarning",
        `--max-old-space-size=${limits.heap}`,
        `--max-semi-space-size=${limits.young}`,
        // Otherwise other threads may go on marking the heap for as long as bytes flow, and take more than the worker itself.
        "--single-threaded-gc",
        // For `worker/sweep.ts`.
        "--expose-gc",
        main,
      ],
      {
        stdio: ["ignore", "ignore", "inherit", "ipc"],
        serialization: "advanced",
        env: { UV_THREADPOOL_SIZE: "8" },
        detached: false,
      },
    );
    this.#child = child;
    const startedAt = Date.now();
    child.on("message", (message: FromWorker) => this.#take(message));
    child.on("error", () => {});
    child.once("exit", () => this.#lost(child, startedAt));
    send(child, { type: "configure", config: this.#config });
    this.#watch(child);
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
    const waiting = this.#calls.get(message.call);
    if (message.type === "done") waiting?.resolve(message);
    else waiting?.reject(new CaissonError("internal", `The egress proxy could not do it: ${message.message}`));
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
    if (Date.now() - startedAt > 10 * limits.restartMost) this.#restartWait = limits.restartFirst;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (this.#closed) return;
      this.#start();
      this.#listener.onRestart();
    }, this.#restartWait);
    this.#timers.add(timer);
    this.#restartWait = Math.min(limits.restartMost, this.#restartWait * 2);
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

/** A process that cannot be told what it is to do must not go on with what it did. Its end ends all calls. */
function send(child: ChildProcess, message: ToWorker): void {
  child.send(message, (error) => void (error && child.kill("SIGKILL")));
}

function ended(): CaissonError {
  return new CaissonError("unavailable", "The egress proxy ended; it is being started again.");
}

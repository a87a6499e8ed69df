/** The thread of SQLite as the server's thread sees it: statements go out, answers come back in the same order. */
import { Worker } from "node:worker_threads";
import { CaissonError } from "@caisson/protocol";
import type { Logger } from "pino";
import { SqliteError } from "./errors.ts";
import type { Answer, Request, StatementResult, Task, ThreadOptions } from "./messages.ts";

/** Milliseconds for what is under way when it is closed. */
const closeTimeout = 5000;
/** Milliseconds between starts of a thread that ends at once. */
const restartPause = 1000;

export interface SqliteThreadOptions extends ThreadOptions {
  /** Largest heap of the thread, MiB. A result that needs more ends it. */
  readonly heapMiB: number;
  readonly log: Logger;
}

interface Pending {
  readonly resolve: (result: StatementResult) => void;
  readonly reject: (error: unknown) => void;
}

export class SqliteThread {
  readonly #options: SqliteThreadOptions;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #lastId = 0;
  #startedAt = -Infinity;
  #generation = 0;
  #closing: Promise<void> | undefined;

  constructor(options: SqliteThreadOptions) {
    this.#options = options;
  }

  /** Changes when the thread was replaced: an open transaction has ended with it. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Runs a task after all that were sent before. Settles only when the thread has done it or has ended.
   * @param generation rejects the task unless the thread is still this one
   * @throws SqliteError; CaissonError `unavailable` when the thread ended, with the reason as cause
   */
  async send(task: Task, generation?: number): Promise<StatementResult> {
    if (this.#closing !== undefined) throw new CaissonError("unavailable", "The database is closed.");
    const worker = this.#running(generation);
    return this.#post(worker, task);
  }

  #post(worker: Worker, task: Task): Promise<StatementResult> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#pending.set(id, { resolve, reject });
      worker.ref();
      worker.postMessage({ id, task } satisfies Request);
    });
  }

  #running(generation: number | undefined): Worker {
    if (generation !== undefined && generation !== this.#generation)
      throw new CaissonError("unavailable", "The database was opened again; the transaction is lost. Try again.");
    if (this.#worker !== undefined) return this.#worker;
    if (performance.now() - this.#startedAt < restartPause)
      throw new CaissonError("unavailable", "The database is being opened again. Try again.");
    return (this.#worker = this.#start());
  }

  #start(): Worker {
    const { path, reservePath, heapMiB, log } = this.#options;
    this.#startedAt = performance.now();
    const worker = new Worker(new URL("worker.ts", import.meta.url), {
      name: "sqlite",
      workerData: { path, reservePath } satisfies ThreadOptions,
      resourceLimits: { maxOldGenerationSizeMb: heapMiB, maxYoungGenerationSizeMb: 8 },
    });
    let cause: unknown;
    worker.on("message", (answer: Answer) => this.#settle(worker, answer));
    worker.on("messageerror", (error) => (cause = error));
    worker.on("error", (error) => (cause = error));
    worker.on("exit", (code) => {
      cause ??= new Error(`The thread of the database exited with code ${code}.`);
      // Those who closed it know. Everything else is a fault, and the next statement starts a new thread.
      if (this.#closing === undefined)
        log.error({ err: cause }, "the thread of the database ended; it is started again");
      this.#lost(cause);
    });
    return worker;
  }

  #settle(worker: Worker, answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    // An idle thread must not keep the process from ending.
    if (this.#pending.size === 0) worker.unref();
    if ("failure" in answer) pending?.reject(new SqliteError(answer.failure));
    else pending?.resolve(answer.result);
  }

  #lost(cause: unknown): void {
    this.#worker = undefined;
    this.#generation++;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    const why = cause instanceof Error ? cause.message : String(cause);
    for (const { reject } of pending)
      reject(new CaissonError("unavailable", `The database was lost (${why}). Try again.`, { cause }));
  }

  /** Does what was sent, closes the database and ends the thread. What takes longer than `closeTimeout` is cut off. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    this.#post(worker, { kind: "close" }).catch(() => {});
    const timer = setTimeout(() => {
      this.#options.log.error("the database did not close in time");
      void worker.terminate();
      this.#lost(new Error("The database was closed."));
    }, closeTimeout);
    const late = new Promise<void>((resolve) => setTimeout(resolve, closeTimeout + 500).unref());
    await Promise.race([exited, late]).finally(() => clearTimeout(timer));
  }
}

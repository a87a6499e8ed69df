/** A program in a terminal of a sandbox. It lives on without viewers, keeps its last output, and ends some time after its last viewer. */
import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { NewTerminal, Terminal as TerminalInfo } from "@caisson/api";
import type { Agent } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Hold } from "../kernel/memory/budget.ts";
import { terminalLimits } from "./limits.ts";
import { Scrollback } from "./scrollback.ts";
import { closeCodes, type Controls, Viewer, type ViewerOptions } from "./viewer.ts";

export interface TerminalOptions {
  readonly id: string;
  readonly wanted: NewTerminal;
  readonly agent: Agent;
  /** Of the sandbox: aborted at its end. */
  readonly ended: AbortSignal;
  /** Given back at the end. */
  readonly hold: Hold;
  readonly log: Logger;
  /** Called once, when nothing of it is left. */
  readonly onGone: () => void;
}

interface Program {
  readonly pid: number;
  readonly input: Writable;
  readonly output: Readable;
}

type Exit = NonNullable<TerminalInfo["exit"]>;

export class Terminal {
  readonly id: string;
  // A time of day for people.
  // oxlint-disable-next-line no-restricted-properties
  readonly #createdAt = Date.now();
  readonly #options: TerminalOptions;
  readonly #program: Program;
  readonly #scrollback = new Scrollback(terminalLimits.scrollback);
  readonly #viewers = new Set<Viewer>();
  readonly #onSandboxEnd = () => this.#gone(closeCodes.away, "The sandbox has ended.");
  #rows: number;
  #columns: number;
  #exit: Exit | undefined;
  #unwatched: NodeJS.Timeout | undefined;
  /** Resolves when the program takes more input. */
  #taking: Promise<void> | undefined;
  #over = false;

  private constructor(options: TerminalOptions, program: Program) {
    this.#options = options;
    this.#program = program;
    this.id = options.id;
    this.#rows = options.wanted.rows;
    this.#columns = options.wanted.columns;
    const { output, input } = program;
    // A program that ends before its input does is no error.
    input.on("error", () => undefined);
    output.on("error", (error: unknown) => options.log.debug({ err: error }, "a terminal's output failed"));
    output.on("data", (chunk: Buffer) => this.#produced(chunk));
    options.ended.addEventListener("abort", this.#onSandboxEnd, { once: true });
    this.#watch();
    void this.#waitExit();
    if (options.ended.aborted) this.#onSandboxEnd();
  }

  /** @throws what the agent throws when the program cannot be started */
  static async start(options: TerminalOptions): Promise<Terminal> {
    const { agent, wanted } = options;
    const { command, args, cwd = "", env, term, rows, columns } = wanted;
    const { pid, stdinStream, stdoutStream } = await agent.processes.spawn({
      command,
      args,
      cwd,
      env,
      stdin: true,
      stdout: true,
      terminal: { type: term, rows, columns },
    });
    const program = { pid, input: agent.writeStream(stdinStream), output: agent.readStream(stdoutStream) };
    return new Terminal(options, program);
  }

  get info(): TerminalInfo {
    const { command, keepSeconds } = this.#options.wanted;
    return {
      id: this.id,
      command,
      createdAt: this.#createdAt,
      rows: this.#rows,
      columns: this.#columns,
      keepSeconds,
      viewers: this.#viewers.size,
      exit: this.#exit ?? null,
    };
  }

  /** It has ended, and its last output can still be viewed. */
  get ended(): boolean {
    return this.#exit !== undefined;
  }

  /** Nothing of it is left. */
  get over(): boolean {
    return this.#over;
  }

  get full(): boolean {
    return this.#viewers.size >= terminalLimits.viewers;
  }

  /** Shows it at a WebSocket: first what is kept, then what comes. */
  attach(options: Omit<ViewerOptions, "controls">): Viewer {
    const viewer: Viewer = new Viewer({ ...options, controls: this.#controls(() => this.#left(viewer)) });
    this.#viewers.add(viewer);
    clearTimeout(this.#unwatched);
    const former = this.#scrollback.content();
    viewer.tell({
      type: "attached",
      rows: this.#rows,
      columns: this.#columns,
      scrollbackBytes: former.length,
      truncated: this.#scrollback.truncated,
    });
    for (let at = 0; at < former.length; at += terminalLimits.message)
      viewer.output(former.subarray(at, at + terminalLimits.message));
    if (this.#exit !== undefined) this.#bid(viewer, this.#exit);
    return viewer;
  }

  /** Hangs up, as closing the window of a terminal does. What ignores that is ended by force. Idempotent. */
  close(): void {
    this.#gone(closeCodes.normal, "The terminal was closed.");
  }

  #controls(left: () => void): Controls {
    const { agent, log } = this.#options;
    const { pid, input } = this.#program;
    return {
      input: (data) => (!input.writable || input.write(data) ? undefined : this.#takesInput()),
      resize: async (rows, columns) => {
        if (this.ended) return;
        this.#rows = rows;
        this.#columns = columns;
        for (const viewer of this.#viewers) viewer.tell({ type: "size", rows, columns });
        await agent.processes
          .resizeTerminal({ pid, rows, columns })
          .catch((error: unknown) => log.debug({ err: error }, "a terminal was not resized"));
      },
      signal: async (signal) => {
        await agent.processes.kill({ pid, signal });
      },
      close: () => this.close(),
      drained: () => this.#flow(),
      left,
    };
  }

  /** All viewers wait for the same moment. It comes also when the program closes its input. */
  #takesInput(): Promise<void> {
    const { input } = this.#program;
    this.#taking ??= new Promise((resolve) => {
      const go = () => {
        input.off("drain", go);
        input.off("close", go);
        this.#taking = undefined;
        resolve();
      };
      input.on("drain", go);
      input.on("close", go);
    });
    return this.#taking;
  }

  #produced(chunk: Buffer): void {
    this.#scrollback.add(chunk);
    for (const viewer of this.#viewers) viewer.output(chunk);
    this.#flow();
  }

  /** The quickest viewer sets the pace. Without viewers the program runs on, and what it writes becomes the scrollback. */
  #flow(): void {
    const { output } = this.#program;
    const unsent = [...this.#viewers].map((viewer) => viewer.unsent);
    const wait = unsent.length > 0 && Math.min(...unsent) > terminalLimits.pause;
    if (wait && !output.isPaused()) output.pause();
    if (!wait && output.isPaused()) output.resume();
  }

  #left(viewer: Viewer): void {
    this.#viewers.delete(viewer);
    this.#flow();
    this.#watch();
  }

  /** From the last viewer on, or from the start, time runs. */
  #watch(): void {
    if (this.#over || this.#viewers.size > 0) return;
    clearTimeout(this.#unwatched);
    this.#unwatched = setTimeout(() => this.close(), this.#options.wanted.keepSeconds * 1000);
    this.#unwatched.unref();
  }

  async #waitExit(): Promise<void> {
    const { agent, log } = this.#options;
    const { pid } = this.#program;
    try {
      const { code, signal } = await agent.processes.wait({ pid });
      await this.#lastOutput();
      this.#exit = { code, signal: signal === "" ? null : signal };
      for (const viewer of this.#viewers) this.#bid(viewer, this.#exit);
    } catch (error) {
      if (!this.#over) log.debug({ err: error }, "a terminal's program is lost");
      this.#gone(closeCodes.away, "The sandbox cannot be reached.");
    }
  }

  /** The end of the output. While viewers are slow to read what comes before it, it gets more time. */
  async #lastOutput(): Promise<void> {
    const { output } = this.#program;
    const complete = finished(output, { writable: false }).then(
      () => true,
      () => true,
    );
    const latest = performance.now() + terminalLimits.linger;
    while (!(await Promise.race([complete, sleep(terminalLimits.drain, false, { ref: false })])))
      if (!output.isPaused() || performance.now() > latest) return;
  }

  #bid(viewer: Viewer, exit: Exit): void {
    viewer.tell({ type: "exit", ...exit });
    viewer.close(closeCodes.normal, "The program has ended.");
  }

  #gone(code: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    const { ended, hold, onGone } = this.#options;
    clearTimeout(this.#unwatched);
    ended.removeEventListener("abort", this.#onSandboxEnd);
    for (const viewer of this.#viewers) viewer.close(code, reason);
    if (!this.ended && !ended.aborted) void this.#hangUp();
    else this.#cut();
    hold.release();
    onGone();
  }

  async #hangUp(): Promise<void> {
    const { agent, log } = this.#options;
    const { pid } = this.#program;
    const kill = (signal: string) => agent.processes.kill({ pid, signal }).catch(() => undefined);
    try {
      await kill("SIGHUP");
      // An interactive shell hangs up its jobs, and ends.
      const over = await agent.processes.wait({ pid }, { timeoutMs: terminalLimits.hangUp }).catch(() => undefined);
      if (over === undefined) await kill("SIGKILL");
    } catch (error) {
      log.debug({ err: error }, "a terminal was not hung up");
    } finally {
      this.#cut();
    }
  }

  /** Closes both directions; the agent then closes the terminal itself. */
  #cut(): void {
    this.#program.input.destroy();
    this.#program.output.destroy();
  }
}

/** One machine that runs a revision's program. */
import type { Duplex } from "node:stream";
import { agentContract, CaissonError, type Agent, type MachineExit } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Workloads, WorkloadPlan } from "../workloads/index.ts";
import { launchPlainly, type Launch } from "./launch.ts";
import { eachLine, lastOutput, OutputTail, withOutput } from "./output.ts";
import { readLine, type PrintedLine } from "./marks.ts";
import { lookInterval, memoryUse, MemoryWatch } from "./memory.ts";
import type { Program } from "./program.ts";

/** Programs that listen on `localhost` may mean either. */
const addresses = ["127.0.0.1", "::1"] as const;
/** Milliseconds between attempts to give back what an ended instance held. */
const retry = 2_000;
/** Milliseconds for the last output to arrive after the program has ended. */
const longestOutput = 1_000;

export type InstanceLog = (level: "info" | "error", message: string) => void;

export interface InstanceOptions {
  readonly plan: WorkloadPlan;
  readonly program: Program;
  /** How it gets to run. Default: in a new machine. */
  readonly launch?: Launch;
  readonly workloads: Workloads;
  /** Milliseconds. */
  readonly startTimeout: number;
  readonly stopTimeout: number;
  /** Milliseconds after its last response for which a program may work on before it is stopped. */
  readonly workTimeout: number;
  /** What the program prints. */
  readonly print: (line: PrintedLine) => void;
  readonly log: Logger;
}

export class Instance {
  readonly id: string;
  /** Requests and WebSockets that it serves now. */
  active = 0;
  /** It takes no more requests. */
  retired = false;
  /** Resolves when it listens. @throws CaissonError why it does not */
  readonly ready: Promise<void>;
  /** Resolves when its program or its machine has ended, whoever ended it: why, for people. Undefined: we ended it. */
  readonly ended: Promise<string | undefined>;
  readonly #options: InstanceOptions;
  readonly #ended = Promise.withResolvers<string | undefined>();
  readonly #stop = new AbortController();
  readonly #tail = new OutputTail();
  readonly #idle = new Set<() => void>();
  /** When the last request ended, on the clock of `performance.now`. */
  #lastResponse = -Infinity;
  #agent: Agent | undefined;
  #pid = 0;
  #port = 0;
  #address: (typeof addresses)[number] | undefined;
  #exited: Promise<string> | undefined;
  /** We ended its program because it did nothing any more but read its own code. */
  #full = false;
  #stopping: Promise<void> | undefined;

  constructor(options: InstanceOptions) {
    this.#options = options;
    this.id = options.plan.id;
    this.ended = this.#ended.promise;
    this.ready = this.#start();
    this.ready.catch(() => undefined);
  }

  get listening(): boolean {
    return this.#port > 0 && !this.retired;
  }

  async #start(): Promise<void> {
    const { plan, workloads, startTimeout, program, launch = launchPlainly } = this.#options;
    try {
      const launched = await launch({ plan, program, workloads, signal: this.#stop.signal });
      const { agent } = launched;
      this.#agent = agent;
      this.#pid = launched.pid;
      const output = Promise.all([
        eachLine(agent.readStream(launched.stdout), (line) => this.#print(readLine(line, "info"))),
        eachLine(agent.readStream(launched.stderr), (line) => this.#print(readLine(line, "error"))),
      ]);
      this.#exited = this.#watch(agent, output);
      if (launched.port === undefined) await this.#listen(agent, startTimeout);
      else this.#port = launched.port;
      // Not before it listened, when the start fails and says more. It may have ended a moment ago.
      void this.#exited.then((how) => this.#end(`The program ended: ${how}.`));
      this.#watchMemory(agent);
    } catch (error) {
      this.#end(error instanceof Error ? error.message : "It did not start.");
      throw error;
    }
  }

  async #listen(agent: Agent, startTimeout: number): Promise<void> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), startTimeout);
    const signal = AbortSignal.any([this.#stop.signal, late.signal]);
    const over = new Promise<undefined>((resolve) => {
      if (signal.aborted) resolve(undefined);
      signal.addEventListener("abort", () => resolve(undefined), { once: true });
    });
    const port = agent.processes.waitListening({ pid: this.#pid }, { signal }).then(
      // 0: it ended, and the other call says how. A hostile agent may answer any number.
      ({ port: answer }) => (answer > 0 && answer < 65_536 ? answer : over),
      () => over,
    );
    const first = await Promise.race([port, this.#exited!, over]).finally(() => clearTimeout(timer));
    this.#stop.signal.throwIfAborted();
    if (first === undefined)
      throw new CaissonError(
        "timeout",
        withOutput(`The program did not listen on a port within ${startTimeout / 1000} s.`, this.#tail),
      );
    if (typeof first === "string")
      throw new CaissonError("guest_error", withOutput(`The program ended before it listened: ${first}.`, this.#tail));
    this.#port = first;
  }

  /** @returns how the program ended, when all its output has arrived */
  async #watch(agent: Agent, output: Promise<unknown>): Promise<string> {
    const how = await agent.processes.wait({ pid: this.#pid }).then(
      ({ code, signal, oom }) =>
        `${signal === "" ? `exit code ${code}` : signal}${oom === agentContract.WaitResponse_Oom.NONE && !this.#full ? "" : ", because its memory was full"}`,
      () => "its machine ended",
    );
    await lastOutput(output, longestOutput);
    if (!this.#stop.signal.aborted) this.#print({ level: "error", message: `The program ended: ${how}.` });
    return how;
  }

  /** While requests are under way: otherwise nobody waits for it, and it ends when it is idle. */
  #watchMemory(agent: Agent): void {
    const watch = new MemoryWatch();
    let looking = false;
    const look = async () => {
      const use = this.active === 0 ? undefined : await memoryUse(agent);
      if (!watch.add(use) || this.#stop.signal.aborted) return;
      this.#full = true;
      await agent.processes.kill({ pid: this.#pid, signal: "SIGKILL" }, { timeoutMs: lookInterval });
    };
    const timer = setInterval(() => {
      if (looking) return;
      looking = true;
      // Its machine may have ended, or be slow: the next look says more.
      void look()
        .catch(() => undefined)
        .finally(() => (looking = false));
    }, lookInterval);
    void this.ended.then(() => clearInterval(timer));
  }

  #print(line: PrintedLine): void {
    this.#tail.add(line.message);
    this.#options.print(line);
  }

  /** The machine ended by itself. */
  exited({ detail }: MachineExit): void {
    if (this.#port > 0) this.#end(`Its machine ended: ${detail}`);
  }

  #end(why: string | undefined): void {
    this.retired = true;
    this.#ended.resolve(this.#stop.signal.aborted ? undefined : why);
  }

  /**
   * A connection to the program. The caller has counted it in `active`, and calls `release` when it is over.
   * @throws CaissonError `unavailable` when nothing listens any more, `timeout`, `cancelled`
   */
  async dial(signal: AbortSignal): Promise<Duplex> {
    const agent = this.#agent!;
    const order = this.#address === undefined ? addresses : [this.#address];
    for (const address of order) {
      try {
        const stream = await agent.dial(address, this.#port, { signal });
        this.#address = address;
        return stream;
      } catch (error) {
        if (!(error instanceof CaissonError) || error.code !== "unavailable") throw error;
      }
    }
    throw new CaissonError("unavailable", "The app accepts no connections at the moment.");
  }

  /** A connection to a UNIX socket of the program. @throws CaissonError, ConnectError */
  connectUnix(path: string): Promise<Duplex> {
    return this.#agent!.connectUnix(path);
  }

  release(): void {
    this.active--;
    this.#lastResponse = performance.now();
    if (this.active === 0) for (const resolve of this.#idle) resolve();
  }

  /**
   * Takes no more requests, and stops when those under way have ended and its program had time to work after the last response.
   * @param timeout milliseconds after which it stops in any case
   */
  async drain(timeout: number): Promise<void> {
    this.retired = true;
    const end = performance.now() + timeout;
    for (;;) {
      const now = performance.now();
      const until = this.active > 0 ? end : Math.min(end, this.#lastResponse + this.#options.workTimeout);
      if (until <= now || this.#stopping !== undefined) break;
      let timer: NodeJS.Timeout | undefined;
      let wake: (() => void) | undefined;
      const idle = new Promise<void>((resolve) => {
        wake = resolve;
        this.#idle.add(resolve);
        timer = setTimeout(resolve, until - now);
      });
      const ended = await Promise.race([idle, this.ended.then(() => true)]);
      clearTimeout(timer);
      this.#idle.delete(wake!);
      if (ended === true) break;
    }
    await this.stop();
  }

  /** SIGINT, and the end of the machine when the program has ended or its time is over. Idempotent. Never throws. */
  stop(): Promise<void> {
    this.#stopping ??= this.#shutDown();
    return this.#stopping;
  }

  async #shutDown(): Promise<void> {
    const { stopTimeout, log } = this.#options;
    this.retired = true;
    const running = this.#exited !== undefined;
    this.#stop.abort(new CaissonError("cancelled", "The instance was stopped."));
    this.#ended.resolve(undefined);
    if (running && stopTimeout > 0) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, stopTimeout)));
      await this.#agent!.processes.kill(
        { pid: this.#pid, signal: "SIGINT" },
        { timeoutMs: Math.max(1, stopTimeout) },
      ).catch(() => undefined);
      await Promise.race([this.#exited, late]).finally(() => clearTimeout(timer));
    }
    await this.ready.catch(() => undefined);
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#options.workloads.kill(this.id);
        await this.#options.workloads.giveBack(this.id);
        return;
      } catch (error) {
        if (attempt === 0) log.warn({ err: error, instance: this.id }, "an instance was not given back; trying again");
        await new Promise<void>((resolve) => setTimeout(resolve, retry).unref());
      }
    }
  }
}

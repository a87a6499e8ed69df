/** A machine that has an owner. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { processCpuMicros, processMemoryBytes } from "@caisson/linux";
import type { Agent, MachineExit, MachineUsage } from "@caisson/protocol";
import type { Logger } from "pino";
import type { AgentClient } from "../agent/client.ts";
import { unixNanos } from "../agent/clock.ts";
import type { Vm } from "../driver/driver.ts";
import type { Holdings } from "../holdings/holdings.ts";
import { RunningDisks } from "./running-disks.ts";

const clockAttempts = 5;
const clockDeadlineMs = 30_000;
/** A call that takes longer than this sets the clock too late, and is made again. Milliseconds. */
const clockLateMs = 300;
/** Between attempts to give back what an ended machine held. */
const retryMs = 5000;

export interface RunningMachineOptions {
  readonly id: string;
  /** See `MachineSpec.owner`. */
  readonly owner: string | undefined;
  /** Longest wait for a guest to write its cached data to disks that outlive it, milliseconds. */
  readonly flushMs: number;
  readonly vm: Vm;
  readonly agent: AgentClient;
  readonly holdings: Holdings;
  /** See `MachineInfo.caCertificatePem`. */
  readonly caCertificatePem: string | undefined;
  /** Runs after the machine has ended, before what it held is given back. Runs again when giving back failed. */
  readonly onEnd: () => Promise<void>;
  readonly log: Logger;
}

export class RunningMachine {
  readonly id: string;
  /** Machines with the same owner share one part of the node's memory. */
  readonly owner: string;
  readonly agent: Agent;
  readonly caCertificatePem: string | undefined;
  readonly disks: RunningDisks;
  /** Resolves when the machine has ended and everything it held on the host has been given back. */
  readonly exited: Promise<MachineExit>;
  readonly #options: RunningMachineOptions;
  readonly #exit = Promise.withResolvers<MachineExit>();
  /** Disks whose last writes the guest has not confirmed; undefined: it was not asked. */
  #unwritten: readonly string[] | undefined;
  #ending = false;
  #stopping: Promise<MachineExit> | undefined;
  #finishing: Promise<void> | undefined;
  #lastCpuMicros = 0;

  constructor(options: RunningMachineOptions) {
    this.#options = options;
    this.id = options.id;
    this.owner = options.owner ?? options.id;
    this.agent = options.agent;
    this.caCertificatePem = options.caCertificatePem;
    this.disks = new RunningDisks(options);
    this.exited = this.#exit.promise;
    void this.#watch();
    options.vm.onResume(() => void this.setClock());
    void options.agent.flooded.then((detail) => this.evict(detail, { flushMs: 0 }));
  }

  /** Ends the machine at once and gives everything back. Idempotent; can be called again after it failed. */
  stop(): Promise<MachineExit> {
    this.#stopping ??= this.#stop().catch((error: unknown) => {
      this.#stopping = undefined;
      throw error;
    });
    return this.#stopping;
  }

  /**
   * Ends the machine because it may not go on. `exited` resolves with the reason.
   * @param detail for its owner
   * @param options.flushMs the time that the guest gets to write its volumes; 0: it is not asked
   */
  async evict(detail: string, { flushMs }: { readonly flushMs: number }): Promise<void> {
    this.#ending = true;
    try {
      if (flushMs > 0) await this.#flush(flushMs);
      await this.#options.vm.stop({ reason: "evicted", detail });
    } catch (error) {
      this.#options.log.error({ err: error, machine: this.id }, "a machine cannot be ended");
    }
  }

  /** Gives the guest the host's time, which its own clock lost while it or the host was stopped. Never rejects. */
  async setClock(): Promise<void> {
    try {
      for (let attempt = 0; attempt < clockAttempts; attempt++) {
        const began = performance.now();
        await this.agent.machine.setClock({ clockUnixNanos: unixNanos() }, { timeoutMs: clockDeadlineMs });
        if (performance.now() - began < clockLateMs) return;
      }
    } catch (error) {
      this.#options.log.debug({ err: error, machine: this.id }, "the clock of a machine was not set");
    }
  }

  async usage(): Promise<MachineUsage> {
    const { holdings, vm } = this.#options;
    const { pid } = vm.process;
    const [cpu, memoryBytes, diskBytes] = await Promise.all([
      this.#cpuMicros().catch(() => undefined),
      processMemoryBytes(pid).catch(() => 0),
      this.#rootBytes().catch(() => 0),
    ]);
    // After the end the last known value is still reported.
    this.#lastCpuMicros = Math.max(this.#lastCpuMicros, cpu ?? 0);
    return { cpuMicros: Math.max(0, this.#lastCpuMicros - holdings.record.cpuBaseMicros), memoryBytes, diskBytes };
  }

  /** Whether its end has begun. */
  get ending(): boolean {
    return this.#ending;
  }

  /** MiB, as its owner asked for. */
  get memory(): number {
    return this.#options.holdings.record.memory;
  }

  get vcpus(): number {
    return this.#options.holdings.record.vcpus;
  }

  /** Unix socket of its egress port. */
  get egressSocket(): string {
    return this.#options.vm.egressSocket;
  }

  /** See `Vm.stalled`. */
  stalled(): Promise<boolean> {
    return this.#options.vm.stalled();
  }

  /** Disconnects from the machine without ending it. */
  release(): void {
    this.#options.agent.end();
    this.#options.vm.release();
  }

  async #stop(): Promise<MachineExit> {
    const { vm } = this.#options;
    this.#ending = true;
    await this.#flush(this.#options.flushMs);
    await vm.stop();
    await this.#finish(await vm.exited);
    return this.exited;
  }

  /** Has the guest write what it holds in memory to disks that outlive it. */
  async #flush(flushMs: number): Promise<void> {
    const { log } = this.#options;
    const disks = this.disks.writable();
    if (disks.length === 0) return;
    // Until it has confirmed.
    this.#unwritten = disks;
    const began = performance.now();
    try {
      await this.#recordEnd();
      await this.agent.machine.shutdown({}, { timeoutMs: Math.max(1, flushMs) });
      this.#unwritten = [];
    } catch (error) {
      const waitedMs = Math.round(performance.now() - began);
      log.warn(
        { err: error, machine: this.id, disks, waitedMs },
        "a machine ends before it confirmed that its volumes are written; their last writes may be missing",
      );
    }
  }

  /** The guest cannot go on after what comes now, also when this process dies before the end. */
  async #recordEnd(): Promise<void> {
    const { holdings, log } = this.#options;
    await holdings
      .update({ ending: true })
      .catch((error: unknown) => log.warn({ err: error, machine: this.id }, "the end of a machine was not recorded"));
  }

  /** Nobody calls `stop` for a machine that ends by itself. So this is repeated until nothing is left. */
  async #watch(): Promise<void> {
    const exit = await this.#options.vm.exited;
    for (;;) {
      try {
        await this.#finish(exit);
        return;
      } catch (error) {
        this.#options.log.error({ err: error, machine: this.id }, "an ended machine was not removed; trying again");
        await sleep(retryMs, undefined, { ref: false });
      }
    }
  }

  /** After the monitor has ended: gives everything back. Once; again after it failed. */
  #finish(exit: MachineExit): Promise<void> {
    this.#finishing ??= this.#giveBack(exit).catch((error: unknown) => {
      this.#finishing = undefined;
      throw error;
    });
    return this.#finishing;
  }

  async #giveBack(exit: MachineExit): Promise<void> {
    const { agent, holdings, onEnd } = this.#options;
    this.#lastCpuMicros = Math.max(this.#lastCpuMicros, (await this.#cpuMicros().catch(() => undefined)) ?? 0);
    agent.end();
    await onEnd();
    // A guest that powers itself off has written everything before.
    const unwritten = this.#unwritten ?? (exit.reason === "stopped" ? [] : this.disks.writable());
    await holdings.giveBack();
    this.#exit.resolve(unwritten.length === 0 ? exit : { ...exit, unwritten });
  }

  async #cpuMicros(): Promise<number | undefined> {
    return (await this.#options.holdings.cgroup.cpuMicros()) ?? processCpuMicros(this.#options.vm.process.pid);
  }

  async #rootBytes(): Promise<number> {
    const { holdings } = this.#options;
    const root = holdings.record.disks.find((disk) => disk.root);
    const path = root?.images.at(-1) ?? join(holdings.directories.disks, "root.0");
    return (await stat(path)).blocks * 512;
  }
}

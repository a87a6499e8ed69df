/**
 * A machine whose record a newer version wrote. This version cannot use it, because it does not know what has changed. But its sandbox is
 * wanted, so it runs on for a newer server; when it ends here, what it held is given back.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive, killProcess, type ProcessIdentity } from "@caisson/linux";
import { CaissonError, type MachineExit } from "@caisson/protocol";
import type { HostResources } from "../holdings/holdings.ts";
import { giveBackUnrecorded } from "../holdings/unrecorded.ts";

/** Milliseconds between two looks whether the process still runs. It is not our child. */
const watchInterval = 2_000;

export interface LeftMachineOptions {
  readonly id: string;
  readonly key: string;
  readonly process: ProcessIdentity;
  readonly host: HostResources;
}

export class LeftMachine {
  readonly id: string;
  /** Resolves when it has ended and what it held has been given back. */
  readonly exited: Promise<MachineExit>;
  readonly #options: LeftMachineOptions;
  readonly #exit = Promise.withResolvers<MachineExit>();
  #released = false;

  constructor(options: LeftMachineOptions) {
    this.#options = options;
    this.id = options.id;
    this.exited = this.#exit.promise;
    void this.#watch();
  }

  /** Ends it. Idempotent; can be called again after it failed. @throws CaissonError `internal` when its process cannot be killed */
  async stop(): Promise<MachineExit> {
    const { process, host, key } = this.#options;
    if (!(await killProcess(process)))
      throw new CaissonError("internal", `Process ${process.pid} of a sandbox cannot be killed.`);
    await giveBackUnrecorded(host, key);
    this.#exit.resolve({ reason: "stopped", detail: "It was ended." });
    return this.exited;
  }

  /** Stops watching it. It runs on. */
  release(): void {
    this.#released = true;
  }

  async #watch(): Promise<void> {
    while (!this.#released) {
      await sleep(watchInterval, undefined, { ref: false });
      if (this.#released || (await isAlive(this.#options.process))) continue;
      try {
        await giveBackUnrecorded(this.#options.host, this.#options.key);
        this.#exit.resolve({
          reason: "crashed",
          detail: "Its process ended. A newer version of Caisson had started it.",
        });
        return;
      } catch {
        // Tried again.
      }
    }
  }
}

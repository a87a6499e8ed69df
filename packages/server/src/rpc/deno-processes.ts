/** REPLs of one sandbox, by pid. */
import type { LiveSandbox } from "../sandboxes/index.ts";
import type { Repl } from "./repl/repl.ts";

export class DenoProcesses {
  readonly #repls = new Map<number, Repl>();

  add(repl: Repl): void {
    this.#repls.set(repl.pid, repl);
    void repl.ended.then(() => {
      // Pids are reused: the entry may belong to another REPL by now.
      if (this.#repls.get(repl.pid) === repl) this.#repls.delete(repl.pid);
    });
  }

  repl(pid: number): Repl | undefined {
    return this.#repls.get(pid);
  }

  /** The sandbox has ended. */
  close(): void {
    for (const repl of this.#repls.values()) repl.fail("The sandbox has ended.");
  }
}

const known = new WeakMap<LiveSandbox, DenoProcesses>();

/** One for each sandbox: a REPL can be used from another connection than the one that started it. */
export function denoProcessesOf(sandbox: LiveSandbox): DenoProcesses {
  let processes = known.get(sandbox);
  if (processes === undefined) {
    processes = new DenoProcesses();
    known.set(sandbox, processes);
    sandbox.ended.addEventListener("abort", () => processes?.close(), { once: true });
  }
  return processes;
}

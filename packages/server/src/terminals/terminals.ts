/** The terminals of all sandboxes that run here. They are in memory: they end with the server. */
import { randomBytes } from "node:crypto";
import type { NewTerminal } from "@caisson/api";
import { CaissonError, operationError } from "@caisson/protocol";
import type { Logger } from "pino";
import type { MemoryLedger } from "../rpc/index.ts";
import type { LiveSandbox } from "../sandboxes/index.ts";
import { terminalBytes, terminalLimits } from "./limits.ts";
import { Terminal } from "./terminal.ts";

export class Terminals {
  readonly #ledger: MemoryLedger;
  readonly #log: Logger;
  /** By sandbox, then by id. */
  readonly #terminals = new Map<string, Map<string, Terminal>>();
  /** By sandbox: those that are being started. */
  readonly #starting = new Map<string, number>();
  #closed = false;

  constructor(ledger: MemoryLedger, log: Logger) {
    this.#ledger = ledger;
    this.#log = log;
  }

  /** @throws CaissonError `resource_exhausted`, `gone`, `guest_error`, `invalid_argument` when the program cannot be started */
  async open(sandbox: LiveSandbox, wanted: NewTerminal): Promise<Terminal> {
    const own = this.#terminals.get(sandbox.id) ?? new Map<string, Terminal>();
    const starting = this.#starting.get(sandbox.id) ?? 0;
    // Those that have ended make room, the oldest first.
    const over = [...own.values()].filter(({ ended }) => ended);
    while (own.size + starting >= terminalLimits.terminals && over.length > 0) over.shift()!.close();
    if (own.size + starting >= terminalLimits.terminals)
      throw new CaissonError(
        "resource_exhausted",
        `Sandbox ${sandbox.id} already has ${terminalLimits.terminals} terminals, the limit. Close one of them.`,
      );
    const hold = this.#ledger.of(sandbox).streams.try(terminalBytes);
    if (hold === undefined)
      throw new CaissonError(
        "resource_exhausted",
        `Sandbox ${sandbox.id} has so many connections and streams that no memory is left for a terminal.`,
      );
    this.#starting.set(sandbox.id, starting + 1);
    const id = randomBytes(10).toString("hex");
    try {
      const terminal = await Terminal.start({
        id,
        wanted,
        agent: sandbox.agent,
        ended: sandbox.ended,
        hold,
        log: this.#log.child({ sandbox: sandbox.id, terminal: id }),
        onGone: () => this.#forget(sandbox.id, id),
      });
      // It may have been lost while it started.
      if (this.#closed || terminal.over) {
        terminal.close();
        throw new CaissonError("gone", `Sandbox ${sandbox.id} has ended.`);
      }
      const all = this.#terminals.get(sandbox.id) ?? new Map<string, Terminal>();
      this.#terminals.set(sandbox.id, all.set(id, terminal));
      return terminal;
    } catch (error) {
      hold.release();
      throw startFailure(error, sandbox);
    } finally {
      const left = this.#starting.get(sandbox.id)! - 1;
      if (left === 0) this.#starting.delete(sandbox.id);
      else this.#starting.set(sandbox.id, left);
    }
  }

  of(sandboxId: string): readonly Terminal[] {
    return [...(this.#terminals.get(sandboxId)?.values() ?? [])];
  }

  /** @throws CaissonError `not_found` */
  find(sandboxId: string, id: string): Terminal {
    const terminal = this.#terminals.get(sandboxId)?.get(id);
    if (terminal === undefined)
      throw new CaissonError(
        "not_found",
        `Sandbox ${sandboxId} has no terminal ${id.slice(0, 40)}. It may have ended because nobody viewed it.`,
      );
    return terminal;
  }

  /** For metrics. */
  counts(): { readonly terminals: number; readonly viewers: number } {
    const all = [...this.#terminals.values()].flatMap((own) => [...own.values()]);
    return { terminals: all.length, viewers: all.reduce((sum, { info }) => sum + info.viewers, 0) };
  }

  /** Hangs all of them up. */
  close(): void {
    this.#closed = true;
    for (const own of this.#terminals.values()) for (const terminal of own.values()) terminal.close();
  }

  #forget(sandboxId: string, id: string): void {
    const own = this.#terminals.get(sandboxId);
    own?.delete(id);
    if (own?.size === 0) this.#terminals.delete(sandboxId);
  }
}

function startFailure(cause: unknown, { id, ended }: LiveSandbox): CaissonError {
  if (cause instanceof CaissonError) return cause;
  const failed = operationError(cause);
  if (failed !== undefined)
    return new CaissonError(
      "invalid_argument",
      `The program could not be started in the sandbox: ${failed.message} (${failed.errno}).`,
      { cause },
    );
  if (ended.aborted) return new CaissonError("gone", `Sandbox ${id} has ended.`, { cause });
  return new CaissonError("guest_error", `Sandbox ${id} did not answer, so the terminal was not started. Try again.`, {
    cause,
  });
}

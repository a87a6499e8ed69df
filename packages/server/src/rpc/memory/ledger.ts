/** What clients and guests can make the server hold, by sandbox, organisation and in all. See docs/security/limits.md. */
import type { Config } from "@caisson/protocol";
import { Budget } from "../../kernel/memory/budget.ts";
import type { LiveSandbox } from "../../sandboxes/index.ts";

/**
 * Three budgets, so that a call which waits for one of them never holds what another call of the same budget waits for: a call holds
 * `calls` while it waits for `content` or `streams`.
 */
export interface Memory {
  /** Requests and their small answers. */
  readonly calls: Budget;
  /** Streams that are open, in both directions. */
  readonly streams: Budget;
  /** Contents of files and values that are held whole. */
  readonly content: Budget;
}

/** Parts of a limit. A whole message must fit into `content`. */
const shares = { calls: 1 / 8, streams: 3 / 8, content: 1 / 2 } as const;

const mebibyte = 2 ** 20;

export class MemoryLedger {
  readonly #limits: Config["limits"];
  readonly #server: Memory;
  readonly #orgs = new Map<string, Memory>();
  readonly #sandboxes = new WeakMap<LiveSandbox, Memory>();

  constructor(limits: Config["limits"]) {
    this.#limits = limits;
    this.#server = create(limits.memory);
  }

  of(sandbox: LiveSandbox): Memory {
    let memory = this.#sandboxes.get(sandbox);
    if (memory === undefined) {
      memory = create(this.#limits.memoryPerSandbox, this.#ofOrg(sandbox.orgId));
      this.#sandboxes.set(sandbox, memory);
    }
    return memory;
  }

  /** Bytes that are taken now, for metrics. */
  used(): Readonly<Record<keyof Memory, number>> {
    const { calls, streams, content } = this.#server;
    return { calls: calls.used, streams: streams.used, content: content.used };
  }

  #ofOrg(id: string): Memory {
    let memory = this.#orgs.get(id);
    if (memory === undefined) {
      memory = create(this.#limits.memoryPerOrganisation, this.#server);
      this.#orgs.set(id, memory);
    }
    return memory;
  }
}

function create(mebibytes: number, parent?: Memory): Memory {
  const budget = (kind: keyof Memory) => new Budget(mebibytes * mebibyte * shares[kind], parent?.[kind]);
  return { calls: budget("calls"), streams: budget("streams"), content: budget("content") };
}

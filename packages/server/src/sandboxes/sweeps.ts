/** What ends sandboxes without anybody's call: their time is over, nobody attends to them, or they are only half there. */
import type { Logger } from "pino";
import { within } from "../kernel/within.ts";
import type { Deadlines } from "./deadlines.ts";
import type { LiveSandbox } from "./live-sandbox.ts";
import type { SandboxRow, SandboxStore } from "./store.ts";

/** Milliseconds to ask the database whether a sandbox whose time is over got more of it. */
const extensionPatience = 2_000;

export interface SweepsOptions {
  readonly store: Pick<SandboxStore, "get" | "live" | "overdue">;
  readonly deadlines: Deadlines;
  readonly live: ReadonlyMap<string, LiveSandbox>;
  readonly ending: (id: string) => boolean;
  /** Whether it lives here or is being created. */
  readonly known: (id: string) => boolean;
  readonly begin: (id: string, orgId: string | undefined, reason: string) => void;
  readonly endSession: (sandbox: LiveSandbox) => void;
  /** Milliseconds that a session goes on without a connection. */
  readonly grace: number;
  readonly log: Logger;
}

export class Sweeps {
  readonly #options: SweepsOptions;

  constructor(options: SweepsOptions) {
    this.#options = options;
  }

  /** Ends what is overdue or unattended, by what this process knows. */
  async endOverdue(): Promise<void> {
    const { deadlines, live, grace, endSession } = this.#options;
    // Whatever became of the connection, its end may have been missed: what counts is that it is not there.
    for (const sandbox of [...live.values()]) if (sandbox.unattended() > grace) endSession(sandbox);
    // Also when the wall clock was set back, or the database does not answer.
    await Promise.all(deadlines.passed().map((id) => this.#endOnTime(id)));
  }

  async #endOnTime(id: string): Promise<void> {
    const { store, deadlines, live, begin, log } = this.#options;
    const orgId = live.get(id)?.orgId;
    if (orgId === undefined) return;
    let row: SandboxRow | undefined;
    // Another server may have granted more time.
    const asked = store.get(id).then((found) => (row = found));
    await within(extensionPatience, asked).catch((error: unknown) =>
      log.warn({ err: error, sandbox: id }, "a sandbox ends on time without a look at the database"),
    );
    if (row === undefined || deadlines.due(row)) begin(id, orgId, "timeout reached");
  }

  /** Ends what is overdue by its row, which another server may have changed. */
  async endOverdueRows(): Promise<void> {
    const { store, deadlines, ending, begin } = this.#options;
    for (const row of await store.overdue(Date.now()))
      if (!ending(row.id) && deadlines.due(row)) begin(row.id, row.org_id, "timeout reached");
  }

  /** Compares rows with machines: ends what has only one of the two. For what an outage of the database left behind. */
  async reconcile(): Promise<void> {
    const { store, live, begin, log } = this.#options;
    const rows = new Map((await store.live()).map((row) => [row.id, row]));
    for (const { id, org_id } of rows.values()) {
      if (this.#known(id) || !(await this.#isLive(id)) || this.#known(id)) continue;
      log.warn({ sandbox: id }, "a sandbox has no machine");
      begin(id, org_id, "its machine was lost");
    }
    for (const { id, orgId } of [...live.values()]) {
      if (rows.has(id) || (await this.#isLive(id)) || !live.has(id)) continue;
      log.warn({ sandbox: id }, "a machine runs for a sandbox that has ended");
      begin(id, orgId, "it had ended before");
    }
  }

  #known(id: string): boolean {
    return this.#options.known(id) || this.#options.ending(id);
  }

  async #isLive(id: string): Promise<boolean> {
    const row = await this.#options.store.get(id);
    return row !== undefined && row.phase !== "stopped";
  }
}

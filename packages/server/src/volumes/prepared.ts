/**
 * Machines that are prepared on snapshots before anybody asks for them: on those that were last used as root. Each has its throw-away
 * layer on a lease of its own. The lease goes to the sandbox that gets the machine, or back when the machine ends; after a crash it is
 * taken back like the lease of any sandbox that has no machine.
 */
import { randomBytes } from "node:crypto";
import type { NodeMachines } from "@caisson/protocol";
import type { VolumeContext } from "../layers/context.ts";
import type { SnapshotRow } from "../layers/tables.ts";
import { lendRoot, releaseDisks, type Claimed } from "./leases.ts";

interface Entry {
  /** Name of the machine, and of the holder of its lease. */
  readonly holder: string;
  readonly stop: AbortController;
  ready: boolean;
  /** It was handed out, and its lease with it. */
  claimed: boolean;
  /** Resolves when nothing of it is left. */
  done: Promise<void>;
}

export class PreparedRoots {
  readonly #ctx: VolumeContext;
  readonly #machines: Pick<NodeMachines, "prepare" | "waitPrepared" | "discard">;
  readonly #limit: number;
  /** By snapshot, the one whose last use is longest ago first. */
  readonly #entries = new Map<string, Entry>();
  readonly #active = new Set<Promise<void>>();
  #closing = false;

  constructor(ctx: VolumeContext, machines: Pick<NodeMachines, "prepare" | "waitPrepared" | "discard">, limit: number) {
    this.#ctx = ctx;
    this.#machines = machines;
    this.#limit = limit;
  }

  /** Somebody uses a snapshot as root: takes the machine that was prepared on it, if there is one, and has the next one prepared. */
  claim(snapshot: SnapshotRow): Claimed | undefined {
    const entry = this.#entries.get(snapshot.id);
    this.#entries.delete(snapshot.id);
    if (entry?.ready !== true) {
      this.#keep(snapshot, entry);
      return undefined;
    }
    entry.claimed = true;
    entry.stop.abort();
    this.#keep(snapshot);
    return {
      holder: entry.holder,
      giveUp: async () => {
        await this.#machines.discard(entry.holder);
        await releaseDisks(this.#ctx, entry.holder);
      },
    };
  }

  /** A snapshot was deleted: answers when no machine is prepared on it any more. */
  async drop(snapshotId: string): Promise<void> {
    const entry = this.#entries.get(snapshotId);
    this.#entries.delete(snapshotId);
    entry?.stop.abort();
    await entry?.done;
  }

  async close(): Promise<void> {
    this.#closing = true;
    for (const { stop } of this.#entries.values()) stop.abort();
    await Promise.all(this.#active);
  }

  #keep(snapshot: SnapshotRow, present?: Entry): void {
    if (this.#limit === 0 || this.#closing) return;
    const entry = present ?? this.#begin(snapshot);
    this.#entries.set(snapshot.id, entry);
    for (const [id, { stop }] of [...this.#entries].slice(0, -this.#limit)) {
      this.#entries.delete(id);
      stop.abort();
    }
  }

  #begin(snapshot: SnapshotRow): Entry {
    const entry: Entry = {
      holder: `prepared-${randomBytes(10).toString("hex")}`,
      stop: new AbortController(),
      ready: false,
      claimed: false,
      done: Promise.resolve(),
    };
    entry.done = this.#run(snapshot, entry).finally(() => this.#active.delete(entry.done));
    this.#active.add(entry.done);
    return entry;
  }

  async #run(snapshot: SnapshotRow, entry: Entry): Promise<void> {
    const { log } = this.#ctx;
    const { holder, stop } = entry;
    const { signal } = stop;
    try {
      const root = await lendRoot(this.#ctx, holder, snapshot);
      await this.#machines.prepare(holder, root, { signal });
      entry.ready = true;
      await this.#machines.waitPrepared(holder, { signal });
    } catch (error) {
      if (!signal.aborted)
        log.warn({ err: error, snapshot: snapshot.id }, "no machine is prepared on a snapshot until its next use");
    }
    entry.ready = false;
    if (this.#entries.get(snapshot.id) === entry) this.#entries.delete(snapshot.id);
    if (entry.claimed) return;
    try {
      await this.#machines.discard(holder);
      await releaseDisks(this.#ctx, holder);
    } catch (error) {
      log.error({ err: error, holder }, "the lease of a layer stays until the next start");
    }
  }
}

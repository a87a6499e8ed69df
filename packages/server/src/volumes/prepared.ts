/**
 * Machines that are prepared before a sandbox asks for them, on the snapshots that were last used as root. Each machine has a throw-away
 * layer and a lease of it. The sandbox that gets the machine gets the lease. When the machine ends before that, the lease is released.
 * After a crash, recovery releases it, like the lease of any sandbox without a machine.
 */
import { randomBytes } from "node:crypto";
import type { NodeMachines } from "@caisson/protocol";
import type { VolumeContext } from "../layers/context.ts";
import type { SnapshotRow } from "../layers/tables.ts";
import { lendRoot, releaseDisks, type Claimed } from "./leases.ts";

interface Entry {
  /** Id of the machine. Its lease is in this name. */
  readonly holder: string;
  readonly stop: AbortController;
  ready: boolean;
  /** A sandbox has the machine and its lease. */
  claimed: boolean;
  /** Resolves when machine and lease have ended, or a sandbox has them. */
  done: Promise<void>;
}

export class PreparedRoots {
  readonly #ctx: VolumeContext;
  readonly #machines: Pick<NodeMachines, "prepare" | "waitPrepared" | "discard">;
  readonly #limit: number;
  /** By snapshot. The least recently used is first. */
  readonly #entries = new Map<string, Entry>();
  readonly #active = new Set<Promise<void>>();
  #closing = false;

  constructor(ctx: VolumeContext, machines: Pick<NodeMachines, "prepare" | "waitPrepared" | "discard">, limit: number) {
    this.#ctx = ctx;
    this.#machines = machines;
    this.#limit = limit;
  }

  /** A sandbox uses a snapshot as root. Returns the machine that was prepared on it, if there is one, and has the next one prepared. */
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

  /** Another server may have deleted a snapshot. Ends machines that were prepared on such a snapshot. */
  async dropDeleted(): Promise<void> {
    const ids = [...this.#entries.keys()];
    if (ids.length === 0) return;
    const rows = await this.#ctx.db.selectFrom("snapshots").select("id").where("id", "in", ids).execute();
    const existing = new Set(rows.map(({ id }) => id));
    for (const id of ids) if (!existing.has(id)) await this.drop(id);
  }

  /** A snapshot was deleted. Resolves when no machine is prepared on it any more. */
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
        log.warn(
          { err: error, snapshot: snapshot.id },
          "no machine could be prepared on a snapshot; its next use tries again",
        );
    }
    entry.ready = false;
    if (this.#entries.get(snapshot.id) === entry) this.#entries.delete(snapshot.id);
    if (entry.claimed) return;
    try {
      await this.#machines.discard(holder);
      await releaseDisks(this.#ctx, holder);
    } catch (error) {
      log.error(
        { err: error, holder },
        "the lease of a prepared machine could not be released; the next start releases it",
      );
    }
  }
}

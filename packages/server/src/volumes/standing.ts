/**
 * Machines that stand on snapshots before anybody asks for them: on those that were last used as root. Each has its throw-away
 * layer on a lease of its own, which goes over to the sandbox that gets the machine, or back when the machine ends; after a crash it
 * is taken back like the lease of any sandbox that has no machine.
 */
import { randomBytes } from "node:crypto";
import type { SandboxNode } from "@caisson/protocol";
import type { VolumeContext } from "./context.ts";
import { lendRoot, releaseDisks, type Claimed } from "./leases.ts";
import type { SnapshotRow } from "./tables.ts";

interface Entry {
  /** Who the lease names in the place of a sandbox. */
  readonly holder: string;
  readonly stop: AbortController;
  stands: boolean;
  /** It was handed out, and its lease with it. */
  claimed: boolean;
  /** Resolves when nothing of it is left. */
  done: Promise<void>;
}

export class StandingRoots {
  readonly #ctx: VolumeContext;
  readonly #stand: SandboxNode["stand"];
  readonly #limit: number;
  /** By snapshot, the one whose last use is longest ago first. */
  readonly #entries = new Map<string, Entry>();
  readonly #running = new Set<Promise<void>>();
  #closing = false;

  constructor(ctx: VolumeContext, stand: SandboxNode["stand"], limit: number) {
    this.#ctx = ctx;
    this.#stand = stand;
    this.#limit = limit;
  }

  /** Somebody uses a snapshot as root: takes the machine that stands on it, if there is one, and has the next one made. */
  claim(snapshot: SnapshotRow): Claimed | undefined {
    const entry = this.#entries.get(snapshot.id);
    this.#entries.delete(snapshot.id);
    if (entry?.stands !== true) {
      this.#keep(snapshot, entry);
      return undefined;
    }
    entry.claimed = true;
    // Nobody hears of the end of a machine that was handed out.
    this.#running.delete(entry.done);
    this.#keep(snapshot);
    return {
      holder: entry.holder,
      giveUp: async () => {
        entry.stop.abort();
        await entry.done;
        await releaseDisks(this.#ctx, entry.holder);
      },
    };
  }

  /** A snapshot has been deleted: answers when nothing stands on it any more. */
  async drop(snapshotId: string): Promise<void> {
    const entry = this.#entries.get(snapshotId);
    this.#entries.delete(snapshotId);
    entry?.stop.abort();
    await entry?.done;
  }

  async close(): Promise<void> {
    this.#closing = true;
    for (const { stop } of this.#entries.values()) stop.abort();
    await Promise.all(this.#running);
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
      holder: `standing-${randomBytes(10).toString("hex")}`,
      stop: new AbortController(),
      stands: false,
      claimed: false,
      done: Promise.resolve(),
    };
    entry.done = this.#run(snapshot, entry).finally(() => this.#running.delete(entry.done));
    this.#running.add(entry.done);
    return entry;
  }

  async #run(snapshot: SnapshotRow, entry: Entry): Promise<void> {
    const { log } = this.#ctx;
    try {
      const disk = () => lendRoot(this.#ctx, entry.holder, snapshot);
      const { ended } = await this.#stand(disk, { signal: entry.stop.signal });
      entry.stands = true;
      await ended;
    } catch (error) {
      if (!entry.stop.signal.aborted)
        log.warn({ err: error, snapshot: snapshot.id }, "a snapshot has no machine standing on it, until its next use");
    }
    if (this.#entries.get(snapshot.id) === entry) this.#entries.delete(snapshot.id);
    if (entry.claimed) return;
    await releaseDisks(this.#ctx, entry.holder).catch((error: unknown) =>
      log.error({ err: error, holder: entry.holder }, "a layer stays on lease until the next start"),
    );
  }
}

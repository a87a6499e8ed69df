/**
 * Ends a machine before the kernel's OOM killer picks one. Limits may add up to more than the host has; when they are used, somebody has to
 * go, and it is to be one of whoever uses most, with a reason.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { availableMebibytes } from "@caisson/linux";
import type { Logger } from "pino";
import { type Candidate, chooseVictim } from "./victim.ts";

export interface Watched extends Candidate {
  /** Resolves when the machine has ended. */
  evict(detail: string): Promise<void>;
}

export interface MemoryWatchOptions {
  /** `sandbox.memoryReserve`, MiB. */
  readonly reserve: number;
  /** Ends a machine that nobody has yet. @returns whether there was one */
  readonly shed: () => Promise<boolean>;
  /** The machines that could end, with what they use now. */
  readonly machines: () => Promise<readonly Watched[]>;
  readonly log: Logger;
}

/** A guest fills some hundred megabytes in this time at the most. Milliseconds. */
const intervalMs = 500;
/** An end that takes longer does not keep the next one waiting: the host needs memory now. */
const endDeadlineMs = 5000;

/** Runs until the signal aborts. Never rejects. */
export async function watchMemory(
  { reserve, shed, machines, log }: MemoryWatchOptions,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await sleep(intervalMs, undefined, { signal, ref: false }).catch(() => undefined);
    try {
      const available = await availableMebibytes();
      if (signal.aborted || available >= reserve) continue;
      if (await shed()) continue;
      const victim = chooseVictim(await machines());
      if (victim === undefined) continue;
      const used = Math.round(victim.used / 2 ** 20);
      log.warn(
        { machine: victim.id, owner: victim.owner, used, available, reserve },
        "memory is short: a machine is ended",
      );
      const ended = victim.evict(
        `The node was short of memory, and this sandbox used most of it (${used} MiB) of its organisation. Use less memory, or ask the operator for a larger node.`,
      );
      await Promise.race([ended, sleep(endDeadlineMs, undefined, { ref: false })]);
    } catch (error) {
      log.error({ err: error }, "the memory of the node could not be looked at");
    }
  }
}

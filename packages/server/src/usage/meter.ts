/** Samples what machines use and adds the difference to the store. */
import { toCaissonError, type SandboxNode } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Resource, Workload, Workloads } from "../workloads/index.ts";
import { addUsage, type UsageIncrement } from "./store.ts";
import type { UsageDatabase } from "./tables.ts";

interface Sample {
  readonly at: number;
  readonly cpuMicros: number;
}

export interface Traffic {
  readonly workloadId: string;
  readonly orgId: string;
  readonly bytesOut: number;
  readonly bytesIn: number;
}

export interface UsageMeterOptions {
  readonly db: UsageDatabase;
  readonly node: SandboxNode;
  readonly workloads: Workloads;
  readonly log: Logger;
}

export class UsageMeter implements Resource {
  readonly name = "usage";
  readonly #options: UsageMeterOptions;
  readonly #last = new Map<string, Sample>();
  /** Measured and not written yet, by workload. */
  readonly #unwritten = new Map<string, UsageIncrement>();

  constructor(options: UsageMeterOptions) {
    this.#options = options;
  }

  countTraffic({ workloadId, orgId, bytesOut, bytesIn }: Traffic): void {
    const none = { cpuMicros: 0, memoryByteSeconds: 0, diskByteSeconds: 0 };
    if (bytesOut + bytesIn > 0) this.#add({ workloadId, orgId, ...none, bytesOut, bytesIn });
  }

  async sampleAll(): Promise<void> {
    const { workloads, log } = this.#options;
    for (const workload of workloads.live()) {
      await this.#sample(workload).catch((error: unknown) =>
        log.debug({ err: error, workload: workload.id }, "no usage sample"),
      );
    }
    await this.flush();
  }

  /** Writes what was measured, also of workloads that have ended: the last connections end, and are counted, after their workload. */
  async flush(): Promise<void> {
    const { log } = this.#options;
    // A copy: what cannot be written is added again.
    for (const id of [...this.#unwritten.keys()])
      await this.#write(id).catch((error: unknown) => log.warn({ err: error, workload: id }, "usage was not written"));
  }

  async #sample(workload: Workload): Promise<void> {
    const usage = await this.#options.node.machines.usage(workload.id);
    const now = performance.now();
    const known = { at: workload.since, cpuMicros: workload.adopted ? usage.cpuMicros : 0 };
    const last = this.#last.get(workload.id) ?? known;
    const seconds = (now - last.at) / 1000;
    this.#last.set(workload.id, { at: now, cpuMicros: usage.cpuMicros });
    this.#add({
      workloadId: workload.id,
      orgId: workload.orgId,
      cpuMicros: usage.cpuMicros - last.cpuMicros,
      memoryByteSeconds: usage.memoryBytes * seconds,
      diskByteSeconds: usage.diskBytes * seconds,
      bytesOut: 0,
      bytesIn: 0,
    });
  }

  #add(more: UsageIncrement): void {
    const known = this.#unwritten.get(more.workloadId);
    this.#unwritten.set(more.workloadId, known === undefined ? more : sumOf(known, more));
  }

  /** Writes what was measured since the last time; keeps it when the database cannot be reached. */
  async #write(workloadId: string): Promise<void> {
    const increment = this.#unwritten.get(workloadId);
    if (increment === undefined) return;
    this.#unwritten.delete(workloadId);
    await addUsage(this.#options.db, increment).catch((error: unknown) => {
      // Any other failure would come again and again: the row of the sandbox may be gone.
      if (["unavailable", "resource_exhausted"].includes(toCaissonError(error).code)) this.#add(increment);
      throw error;
    });
  }

  /** The last sample of a workload. */
  async ending(workload: Workload): Promise<void> {
    await this.#sample(workload);
  }

  async release(workloadId: string): Promise<void> {
    this.#last.delete(workloadId);
    await this.#write(workloadId);
  }
}

function sumOf(a: UsageIncrement, b: UsageIncrement): UsageIncrement {
  return {
    workloadId: a.workloadId,
    orgId: a.orgId,
    cpuMicros: a.cpuMicros + b.cpuMicros,
    memoryByteSeconds: a.memoryByteSeconds + b.memoryByteSeconds,
    diskByteSeconds: a.diskByteSeconds + b.diskByteSeconds,
    bytesOut: a.bytesOut + b.bytesOut,
    bytesIn: a.bytesIn + b.bytesIn,
  };
}

/** Samples what machines use and adds the difference to the store. */
import type { SandboxNode } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Resource, Workload, Workloads } from "../workloads/index.ts";
import { addUsage } from "./store.ts";
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
  readonly #traffic = new Map<string, { out: number; in: number }>();

  constructor(options: UsageMeterOptions) {
    this.#options = options;
  }

  countTraffic({ workloadId, orgId, bytesOut, bytesIn }: Traffic): void {
    const { db, workloads, log } = this.#options;
    if (workloads.get(workloadId) !== undefined) {
      const sum = this.#traffic.get(workloadId) ?? { out: 0, in: 0 };
      this.#traffic.set(workloadId, { out: sum.out + bytesOut, in: sum.in + bytesIn });
    } else if (bytesOut + bytesIn > 0) {
      // Connections are counted when they end, and the last ones end with their workload.
      const none = { cpuMicros: 0, memoryByteSeconds: 0, diskByteSeconds: 0 };
      addUsage(db, { workloadId, orgId, ...none, bytesOut, bytesIn }).catch((error: unknown) =>
        log.warn({ err: error, workload: workloadId }, "traffic was not counted"),
      );
    }
  }

  async sampleAll(): Promise<void> {
    const { workloads, log } = this.#options;
    for (const workload of workloads.live()) {
      await this.#sample(workload).catch((error: unknown) =>
        log.debug({ err: error, workload: workload.id }, "no usage sample"),
      );
    }
  }

  async #sample(workload: Workload): Promise<void> {
    const { db, node } = this.#options;
    const usage = await node.machines.usage(workload.id);
    const now = performance.now();
    const known = { at: workload.since, cpuMicros: workload.adopted ? usage.cpuMicros : 0 };
    const last = this.#last.get(workload.id) ?? known;
    const seconds = (now - last.at) / 1000;
    this.#last.set(workload.id, { at: now, cpuMicros: usage.cpuMicros });
    const traffic = this.#traffic.get(workload.id) ?? { out: 0, in: 0 };
    this.#traffic.delete(workload.id);
    await addUsage(db, {
      workloadId: workload.id,
      orgId: workload.orgId,
      cpuMicros: usage.cpuMicros - last.cpuMicros,
      memoryByteSeconds: usage.memoryBytes * seconds,
      diskByteSeconds: usage.diskBytes * seconds,
      bytesOut: traffic.out,
      bytesIn: traffic.in,
    });
  }

  /** The last sample of a workload, taken before its machine ends. */
  async ending(workload: Workload): Promise<void> {
    try {
      await this.#sample(workload);
    } finally {
      this.#last.delete(workload.id);
      this.#traffic.delete(workload.id);
    }
  }
}

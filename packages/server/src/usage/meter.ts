/** Samples what machines use and adds the difference to the store. */
import type { Logger } from "pino";
import { addUsage } from "../store/usage.ts";
import type { Database } from "../store/tables.ts";
import type { LiveSandbox } from "./live-sandbox.ts";

interface Sample {
  readonly at: number;
  readonly cpuMicros: number;
}

export interface Traffic {
  readonly sandboxId: string;
  readonly orgId: string;
  readonly bytesOut: number;
  readonly bytesIn: number;
  /** Whether its machine still runs. */
  readonly live: boolean;
}

export class UsageMeter {
  readonly #db: Database;
  readonly #log: Logger;
  readonly #last = new Map<string, Sample>();
  readonly #traffic = new Map<string, { out: number; in: number }>();

  constructor(db: Database, log: Logger) {
    this.#db = db;
    this.#log = log;
  }

  countTraffic({ sandboxId, orgId, bytesOut, bytesIn, live }: Traffic): void {
    if (live) {
      const sum = this.#traffic.get(sandboxId) ?? { out: 0, in: 0 };
      this.#traffic.set(sandboxId, { out: sum.out + bytesOut, in: sum.in + bytesIn });
    } else if (bytesOut + bytesIn > 0) {
      // Connections are counted when they end, and the last ones end with their sandbox.
      const none = { cpuMicros: 0, memoryByteSeconds: 0, diskByteSeconds: 0 };
      addUsage(this.#db, { sandboxId, orgId, ...none, bytesOut, bytesIn }).catch((error: unknown) =>
        this.#log.warn({ err: error, sandbox: sandboxId }, "traffic was not counted"),
      );
    }
  }

  async sampleAll(sandboxes: readonly LiveSandbox[]): Promise<void> {
    for (const sandbox of sandboxes) {
      await this.sample(sandbox).catch((error: unknown) =>
        this.#log.debug({ err: error, sandbox: sandbox.id }, "no usage sample"),
      );
    }
  }

  async sample(sandbox: LiveSandbox): Promise<void> {
    const usage = await sandbox.machine.usage();
    const now = performance.now();
    const last = this.#last.get(sandbox.id) ?? { at: sandbox.since, cpuMicros: sandbox.adopted ? usage.cpuMicros : 0 };
    const seconds = (now - last.at) / 1000;
    this.#last.set(sandbox.id, { at: now, cpuMicros: usage.cpuMicros });
    const traffic = this.#traffic.get(sandbox.id) ?? { out: 0, in: 0 };
    this.#traffic.delete(sandbox.id);
    await addUsage(this.#db, {
      sandboxId: sandbox.id,
      orgId: sandbox.orgId,
      cpuMicros: usage.cpuMicros - last.cpuMicros,
      memoryByteSeconds: usage.memoryBytes * seconds,
      diskByteSeconds: usage.diskBytes * seconds,
      bytesOut: traffic.out,
      bytesIn: traffic.in,
    });
  }

  /** The last sample of a sandbox, taken before its machine ends. */
  async finish(sandbox: LiveSandbox): Promise<void> {
    await this.sample(sandbox);
    this.#last.delete(sandbox.id);
    this.#traffic.delete(sandbox.id);
  }
}

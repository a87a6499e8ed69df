/** The log of visits: in memory until it is written in batches, with bounds for each workload, so that no flood of visitors fills anything. */
import type { Visit } from "@caisson/protocol";
import { auditId } from "../audit/store.ts";
import type { VisitStore } from "./visit-store.ts";
import type { PendingVisit } from "./visit.ts";

/** Visits that may wait for the database. */
const maxPending = 10_000;
const batchSize = 500;

export class VisitLog {
  readonly #store: VisitStore;
  readonly #perMinute: number;
  readonly #pending: PendingVisit[] = [];
  /** By workload: tokens left, and visits that were skipped. Forgotten when they are full again. */
  readonly #buckets = new Map<string, { tokens: number; at: number; skipped: number }>();
  #writing: Promise<void> | undefined;

  constructor(store: VisitStore, perMinute: number) {
    this.#store = store;
    this.#perMinute = perMinute;
  }

  record(orgId: string, { workloadId, ...visit }: Visit): void {
    const now = performance.now();
    const bucket = this.#buckets.get(workloadId) ?? { tokens: this.#perMinute, at: now, skipped: 0 };
    bucket.tokens = Math.min(this.#perMinute, bucket.tokens + ((now - bucket.at) / 60_000) * this.#perMinute);
    bucket.at = now;
    this.#buckets.set(workloadId, bucket);
    if (bucket.tokens < 1 || this.#pending.length >= maxPending) {
      bucket.skipped++;
      return;
    }
    bucket.tokens--;
    const { skipped } = bucket;
    bucket.skipped = 0;
    const id = auditId(visit.at);
    this.#pending.push({ orgId, workloadId, visit: { id, ...visit, ...(skipped > 0 && { skipped }) } });
  }

  /** Writes what waits. What the database refuses stays for the next time. @throws what the database throws */
  async flush(): Promise<void> {
    this.#forget();
    let rounds = Math.ceil(this.#pending.length / batchSize);
    while (rounds-- > 0 && this.#pending.length > 0)
      await (this.#writing ??= this.#write().finally(() => (this.#writing = undefined)));
  }

  async #write(): Promise<void> {
    const batch = this.#pending.slice(0, batchSize);
    await this.#store.insert(batch);
    this.#pending.splice(0, batch.length);
  }

  #forget(): void {
    const now = performance.now();
    for (const [id, { at, skipped }] of this.#buckets)
      if (now - at > 60_000 && skipped === 0) this.#buckets.delete(id);
      else if (now - at > 3600_000) this.#buckets.delete(id);
  }
}

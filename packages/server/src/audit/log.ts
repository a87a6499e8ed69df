/** Passes egress events to live readers at once, and writes them to the store in batches. */
import type { Logger } from "pino";
import { AuditQuota } from "./quota.ts";
import { auditId, type AuditRecord, type AuditStore, type PendingEntry } from "./store.ts";

/** Events that may wait for the database. More are counted, so that a sandbox cannot fill our memory. */
const maxPending = 20_000;
/** PostgreSQL allows 65535 parameters in a statement, SQLite 32766; an event has ten. */
const batchSize = 500;
/** Milliseconds for which one batch is tried. A database that is away longer would make the others wait without end. */
const giveUpAfter = 10 * 60_000;
/** Milliseconds until a failed write is tried again. */
const pause = 2_000;

export type AuditReader = (pending: PendingEntry) => void;

export interface AuditLogOptions {
  readonly store: AuditStore;
  readonly log: Logger;
  /** See `AuditQuota`. */
  readonly perMinute: number;
}

export class AuditLog {
  readonly #store: AuditStore;
  readonly #log: Logger;
  readonly #quota: AuditQuota;
  readonly #readers = new Map<string, Set<AuditReader>>();
  readonly #pending: PendingEntry[] = [];
  /** Events that were ever pending, and how many of them no longer are. */
  #recorded = 0;
  #written = 0;
  #writing: Promise<void> | undefined;
  /** When the oldest batch failed first, on the clock of `performance.now`. */
  #failingSince: number | undefined;
  #tryAgain = 0;

  constructor({ store, log, perMinute }: AuditLogOptions) {
    this.#store = store;
    this.#log = log;
    this.#quota = new AuditQuota(perMinute);
  }

  record(orgId: string, event: AuditRecord): void {
    if (!this.#quota.admit(orgId, event)) return;
    if (this.#pending.length < maxPending) this.#add(orgId, event);
    else this.#quota.count(orgId, event);
  }

  #add(orgId: string, record: AuditRecord): void {
    const entry = { ...record, id: auditId(record.at) };
    const pending = { orgId, entry, json: JSON.stringify(entry) };
    this.#pending.push(pending);
    this.#recorded++;
    for (const reader of this.#readers.get(orgId) ?? []) reader(pending);
  }

  /**
   * @param reader is called with the events of one organisation; must not throw
   * @returns ends the subscription
   */
  subscribe(orgId: string, reader: AuditReader): () => void {
    const readers = this.#readers.get(orgId) ?? new Set();
    this.#readers.set(orgId, readers.add(reader));
    return () => {
      readers.delete(reader);
      if (readers.size === 0 && this.#readers.get(orgId) === readers) this.#readers.delete(orgId);
    };
  }

  /**
   * Answers when everything that was recorded before is in the database.
   * @throws what the database throws. Nothing is lost then: the next call tries again
   */
  async flush(): Promise<void> {
    const last = this.#recorded;
    while (this.#written < last)
      await (this.#writing ??= this.#writeBatch().finally(() => (this.#writing = undefined)));
  }

  /**
   * Writes what waits, unless the database failed a moment ago. To be called regularly.
   * @throws what the database throws
   */
  async write(): Promise<void> {
    this.summarise();
    if (this.#tryAgain > performance.now()) return;
    await this.flush();
  }

  /** Records what was only counted; `all`: also what may go on, because the server stops. */
  summarise(options: { readonly all?: boolean } = {}): void {
    for (const { orgId, record } of this.#quota.takeSummaries(options)) this.#add(orgId, record);
  }

  async #writeBatch(): Promise<void> {
    const batch = this.#pending.slice(0, batchSize);
    try {
      await this.#store.insert(batch);
    } catch (error) {
      const now = performance.now();
      this.#failingSince ??= now;
      this.#tryAgain = now + pause;
      if (now - this.#failingSince < giveUpAfter) throw error;
      this.#log.error({ err: error, dropped: batch.length }, "audit events were dropped: the database refused them");
    }
    this.#failingSince = undefined;
    this.#pending.splice(0, batch.length);
    this.#written += batch.length;
  }
}

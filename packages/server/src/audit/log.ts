/** Passes egress events to live readers at once, and writes them to the store in batches. */
import type { EgressEvent } from "@caisson/protocol";
import type { Logger } from "pino";
import { auditId, type AuditEntry, type AuditStore } from "./store.ts";

/** Events that may wait for the database. More are counted and dropped, so that a sandbox cannot fill our memory. */
const maxPending = 20_000;

type Reader = (orgId: string, entry: AuditEntry) => void;

export class AuditLog {
  readonly #store: AuditStore;
  readonly #log: Logger;
  readonly #readers = new Set<Reader>();
  #pending: { orgId: string; entry: AuditEntry }[] = [];
  #dropped = 0;

  constructor(store: AuditStore, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  record(orgId: string, event: EgressEvent): void {
    const entry = { ...event, id: auditId(event.at) };
    for (const reader of this.#readers) reader(orgId, entry);
    if (this.#pending.length < maxPending) this.#pending.push({ orgId, entry });
    else this.#dropped++;
  }

  /** @returns ends the subscription */
  subscribe(reader: Reader): () => void {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  }

  async flush(): Promise<void> {
    if (this.#dropped > 0)
      this.#log.warn(
        { dropped: this.#dropped },
        "audit events were dropped: they arrive faster than the database writes them",
      );
    this.#dropped = 0;
    while (this.#pending.length > 0) {
      // PostgreSQL allows 65535 parameters in a statement, SQLite 32766; an event has ten.
      const batch = this.#pending.splice(0, 500);
      await this.#store.insert(batch);
    }
  }
}

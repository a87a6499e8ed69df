/** Egress events in the database: written in batches, read in pages, removed after the retention time. */
import { randomText } from "../kernel/random-text.ts";
import type { EgressEvent, EgressVerdict } from "@caisson/protocol";
import type { AuditDatabase } from "./tables.ts";

export interface AuditEntry extends EgressEvent {
  readonly id: string;
}

export interface AuditQuery {
  readonly orgId: string;
  readonly sandboxId?: string | undefined;
  readonly host?: string | undefined;
  readonly verdict?: EgressVerdict | undefined;
  /** Milliseconds since the epoch. */
  readonly since?: number | undefined;
  readonly limit: number;
  /** Entries older than the one with this id. */
  readonly cursor?: string | undefined;
}

export class AuditStore {
  readonly #db: AuditDatabase;

  constructor(db: AuditDatabase) {
    this.#db = db;
  }

  async insert(entries: readonly { orgId: string; entry: AuditEntry }[]): Promise<void> {
    if (entries.length === 0) return;
    const rows = entries.map(({ orgId, entry }) => ({
      id: entry.id,
      org_id: orgId,
      sandbox_id: entry.sandboxId,
      at: entry.at,
      kind: entry.kind,
      host: entry.host,
      port: entry.port,
      verdict: entry.verdict,
      rule: entry.rule,
      event: JSON.stringify(entry),
    }));
    await this.#db.insertInto("audit_events").values(rows).execute();
  }

  /** Newest first. */
  async find({ orgId, sandboxId, host, verdict, since, limit, cursor }: AuditQuery): Promise<AuditEntry[]> {
    let query = this.#db
      .selectFrom("audit_events")
      .select("event")
      .where("org_id", "=", orgId)
      .orderBy("id", "desc")
      .limit(limit);
    if (sandboxId !== undefined) query = query.where("sandbox_id", "=", sandboxId);
    if (host !== undefined) query = query.where("host", "=", host);
    if (verdict !== undefined) query = query.where("verdict", "=", verdict);
    if (since !== undefined) query = query.where("at", ">=", since);
    if (cursor !== undefined) query = query.where("id", "<", cursor);
    const rows = await query.execute();
    return rows.map((row) => JSON.parse(row.event) as AuditEntry);
  }

  async removeBefore(at: number): Promise<void> {
    await this.#db.deleteFrom("audit_events").where("at", "<", at).execute();
  }
}

let sequence = 0;

/** Sorts by time, and in the order of calls within a millisecond. */
export function auditId(now: number): string {
  sequence = (sequence + 1) % 1_000_000;
  return `${String(now).padStart(14, "0")}-${String(sequence).padStart(6, "0")}-${randomText(6)}`;
}

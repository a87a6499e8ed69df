/** Egress events in the database: written in batches, read in pages, removed after the retention time. */
import { Retention } from "../kernel/database/retention.ts";
import { randomText } from "../kernel/random-text.ts";
import type { EgressEvent, EgressVerdict } from "@caisson/protocol";
import type { AuditDatabase } from "./tables.ts";

/** `summary`: stands for events that were not recorded one by one. `ssh`: a login from outside; `host` and `port` are the client's. */
export interface AuditRecord extends Omit<EgressEvent, "kind" | "protocol"> {
  readonly kind: EgressEvent["kind"] | "summary" | "ssh";
  readonly protocol: EgressEvent["protocol"] | "ssh";
}

export interface AuditEntry extends AuditRecord {
  readonly id: string;
}

/** An event as it is stored and streamed. */
export interface PendingEntry {
  readonly orgId: string;
  readonly entry: AuditEntry;
  /** The entry as JSON: made once for the store and all readers. */
  readonly json: string;
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

export interface AuditPage {
  /** Newest first. */
  readonly entries: readonly AuditEntry[];
  /** Where the next page begins. Absent: there is none. */
  readonly next?: string | undefined;
}

/** Rows that are compared with a filter for one page. A filter that finds little would read all events of an organisation otherwise. */
const mostCompared = 10_000;

export class AuditStore {
  readonly #db: AuditDatabase;
  readonly #retention: Retention;

  constructor(db: AuditDatabase) {
    this.#db = db;
    this.#retention = new Retention(db, "audit_events");
  }

  /** Can be repeated with the same entries: an answer of the database may be lost although it has written them. */
  async insert(entries: readonly PendingEntry[]): Promise<void> {
    if (entries.length === 0) return;
    const rows = entries.map(({ orgId, entry, json }) => ({
      id: entry.id,
      org_id: orgId,
      sandbox_id: entry.sandboxId,
      at: entry.at,
      kind: entry.kind,
      // PostgreSQL stores no NUL. In JSON it is escaped.
      host: entry.host.replaceAll("\0", ""),
      port: entry.port,
      verdict: entry.verdict,
      rule: entry.rule,
      event: json,
    }));
    await this.#db
      .insertInto("audit_events")
      .values(rows)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    for (const { orgId } of entries) this.#retention.grew(orgId);
  }

  /** A page has fewer entries than `limit`, or none, when its filter finds little; then `next` says where to go on. */
  async find({ orgId, sandboxId, host, verdict, since, limit, cursor }: AuditQuery): Promise<AuditPage> {
    let all = this.#db.selectFrom("audit_events").where("org_id", "=", orgId).orderBy("id", "desc");
    if (sandboxId !== undefined) all = all.where("sandbox_id", "=", sandboxId);
    if (since !== undefined) all = all.where("id", ">=", firstId(since));
    if (cursor !== undefined) all = all.where("id", "<", cursor);
    const filtered = host !== undefined || verdict !== undefined;
    const last = filtered ? await all.select("id").offset(mostCompared).limit(1).executeTakeFirst() : undefined;
    let query = all.select("event").limit(limit + 1);
    if (last !== undefined) query = query.where("id", ">=", last.id);
    if (host !== undefined) query = query.where("host", "=", host);
    if (verdict !== undefined) query = query.where("verdict", "=", verdict);
    const found = (await query.execute()).map((row) => JSON.parse(row.event) as AuditEntry);
    if (found.length > limit) return { entries: found.slice(0, limit), next: found[limit - 1]!.id };
    return { entries: found, next: last?.id };
  }

  /** @param at milliseconds since the epoch */
  async removeBefore(at: number, signal: AbortSignal): Promise<void> {
    await this.#retention.removeBefore(firstId(at), signal);
  }

  /** See `Retention`. */
  async removeBeyond(most: number, others: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#retention.removeBeyond(most, others, signal);
  }
}

let sequence = 0;

/** Sorts by time, and in the order of calls within a millisecond. So the index of ids is the index of times, too. */
export function auditId(now: number): string {
  sequence = (sequence + 1) % 1_000_000;
  return `${firstId(now)}-${String(sequence).padStart(6, "0")}-${randomText(6)}`;
}

/** Whether a client's cursor can be from this store. */
export function isAuditId(text: string): boolean {
  return /^\d{14}-\d{6}-[0-9A-Za-z]{6}$/.test(text);
}

/** Sorts before all ids of this millisecond and after those of earlier ones. */
export function firstId(at: number): string {
  return String(at).padStart(14, "0");
}

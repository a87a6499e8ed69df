/** Rows of sandboxes. Every change of phase is one guarded UPDATE, so two writers cannot both win. */
import { CaissonError, type NodeId } from "@caisson/protocol";
import type { Selectable } from "kysely";
import { filterKey } from "../kernel/labels/filter-keys.ts";
import { labelRows } from "./label-index.ts";
import { livePhases, sourcesOf, type Phase } from "./phases.ts";
import type { SandboxDatabase, SandboxesTable } from "./tables.ts";

export type SandboxRow = Selectable<SandboxesTable>;

/** What the live sandboxes of one organisation can be together. */
export interface LiveLimits {
  readonly sandboxes: number;
  /** Sum of `writable_bytes`. */
  readonly writableBytes: number;
}

export interface ListOptions {
  readonly orgId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly limit: number;
  /** Rows older than this one. */
  readonly before?: { readonly createdAt: number; readonly id: string } | undefined;
}

export class SandboxStore {
  readonly #db: SandboxDatabase;
  readonly #nodeId: NodeId;
  readonly #lockRows: boolean;

  /** @param nodeId whose sandboxes `overdue` and `live` look at */
  constructor(db: SandboxDatabase, { nodeId, lockRows }: { nodeId: NodeId; lockRows: boolean }) {
    this.#db = db;
    this.#nodeId = nodeId;
    this.#lockRows = lockRows;
  }

  /** Gives the rows of before there were nodes to one. */
  async claim(nodeId: NodeId): Promise<void> {
    await this.#db.updateTable("sandboxes").set({ node_id: nodeId }).where("node_id", "is", null).execute();
  }

  /**
   * Adds a sandbox in phase `creating` unless its organisation is at a limit.
   * @throws CaissonError `resource_exhausted`
   */
  async insert(row: SandboxRow, { sandboxes, writableBytes }: LiveLimits): Promise<void> {
    await this.#db.transaction().execute(async (trx) => {
      // SQLite has one writer at a time; PostgreSQL must be told to let one create of an organisation wait for the other.
      if (this.#lockRows) await trx.selectFrom("orgs").select("id").where("id", "=", row.org_id).forUpdate().execute();
      const live = await trx
        .selectFrom("sandboxes")
        .select((eb) => [eb.fn.countAll().as("count"), eb.fn.sum("writable_bytes").as("bytes")])
        .where("org_id", "=", row.org_id)
        .where("phase", "in", livePhases)
        .executeTakeFirstOrThrow();
      if (Number(live.count) >= sandboxes)
        throw limitReached(
          `This organisation already runs ${live.count} of ${sandboxes} sandboxes. Kill one, or wait until one ends.`,
        );
      const bytes = Number(live.bytes ?? 0);
      if (bytes + row.writable_bytes > writableBytes)
        throw limitReached(
          `The disks of this organisation's running sandboxes can take ${bytes} bytes. This one can take ${row.writable_bytes} more; the limit for all is ${writableBytes}. Kill a sandbox, or wait until one ends.`,
        );
      await trx.insertInto("sandboxes").values(row).execute();
      const labels = labelRows(row, JSON.parse(row.labels) as Record<string, string>);
      if (labels.length > 0) await trx.insertInto("sandbox_labels").values(labels).execute();
    });
  }

  get(id: string): Promise<SandboxRow | undefined> {
    return this.#db.selectFrom("sandboxes").selectAll().where("id", "=", id).executeTakeFirst();
  }

  /** Answers whether the row was in a phase from which `to` is allowed. */
  async move(id: string, to: Phase, also: Partial<Pick<SandboxRow, "stopped_at" | "reason">> = {}): Promise<boolean> {
    const result = await this.#db
      .updateTable("sandboxes")
      .set({ ...also, phase: to })
      .where("id", "=", id)
      .where("phase", "in", sourcesOf(to))
      .executeTakeFirst();
    return result.numUpdatedRows > 0n;
  }

  /** @returns false when it does not run */
  async setNetwork(id: string, network: string | null): Promise<boolean> {
    const { numUpdatedRows } = await this.#db
      .updateTable("sandboxes")
      .set({ network })
      .where("id", "=", id)
      .where("phase", "=", "running")
      .executeTakeFirst();
    return numUpdatedRows > 0n;
  }

  /** Answers whether the sandbox was running. */
  async setStopAt(id: string, stopAt: number): Promise<boolean> {
    const result = await this.#db
      .updateTable("sandboxes")
      .set({ stop_at: stopAt })
      .where("id", "=", id)
      .where("phase", "=", "running")
      .executeTakeFirst();
    return result.numUpdatedRows > 0n;
  }

  /** Running sandboxes whose end, as the wall clock has it, was reached. */
  async overdue(now: number): Promise<readonly Pick<SandboxRow, "id" | "org_id" | "stop_at">[]> {
    return this.#db
      .selectFrom("sandboxes")
      .select(["id", "org_id", "stop_at"])
      .where("node_id", "=", this.#nodeId)
      .where("phase", "=", "running")
      .where("stop_at", "<=", now)
      .execute();
  }

  live(): Promise<SandboxRow[]> {
    return this.#db
      .selectFrom("sandboxes")
      .selectAll()
      .where("node_id", "=", this.#nodeId)
      .where("phase", "in", livePhases)
      .execute();
  }

  /** Newest first. Its cost depends on `limit` and not on how many sandboxes there are. */
  async list({ orgId, labels, limit, before }: ListOptions): Promise<SandboxRow[]> {
    return Object.keys(labels).length === 0
      ? this.#newest(orgId, limit, before)
      : this.#labelled(orgId, filterKey(labels), limit, before);
  }

  #newest(orgId: string, limit: number, before: ListOptions["before"]): Promise<SandboxRow[]> {
    let query = this.#db
      .selectFrom("sandboxes")
      .selectAll()
      .where("org_id", "=", orgId)
      .orderBy("created_at", "desc")
      .orderBy("id", "desc")
      .limit(limit);
    if (before !== undefined)
      query = query.where((eb) => eb(eb.refTuple("created_at", "id"), "<", eb.tuple(before.createdAt, before.id)));
    return query.execute();
  }

  #labelled(orgId: string, filter: string, limit: number, before: ListOptions["before"]): Promise<SandboxRow[]> {
    let query = this.#db
      .selectFrom("sandbox_labels as entry")
      .innerJoin("sandboxes", "sandboxes.id", "entry.sandbox_id")
      .selectAll("sandboxes")
      .where("entry.org_id", "=", orgId)
      .where("entry.filter", "=", filter)
      .orderBy("entry.created_at", "desc")
      .orderBy("entry.sandbox_id", "desc")
      .limit(limit);
    if (before !== undefined)
      query = query.where((eb) =>
        eb(eb.refTuple("entry.created_at", "entry.sandbox_id"), "<", eb.tuple(before.createdAt, before.id)),
      );
    return query.execute();
  }
}

function limitReached(message: string): CaissonError {
  return new CaissonError("resource_exhausted", message, { wireCode: "SANDBOX_LIMIT_REACHED" });
}

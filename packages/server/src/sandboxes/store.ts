/** Rows of sandboxes. Every change of phase is one guarded UPDATE, so two writers cannot both win. */
import { CaissonError, type NodeId } from "@caisson/protocol";
import type { Selectable } from "kysely";
import { livePhases, sourcesOf, type Phase } from "./phases.ts";
import type { SandboxDatabase, SandboxesTable } from "./tables.ts";

export type SandboxRow = Selectable<SandboxesTable>;

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
   * Adds a sandbox in phase `creating` unless its organisation already has `limit` live ones.
   * @throws CaissonError `resource_exhausted`
   */
  async insert(row: SandboxRow, limit: number): Promise<void> {
    await this.#db.transaction().execute(async (trx) => {
      // SQLite has one writer at a time; PostgreSQL must be told to let one create of an organisation wait for the other.
      if (this.#lockRows) await trx.selectFrom("orgs").select("id").where("id", "=", row.org_id).forUpdate().execute();
      const { live } = await trx
        .selectFrom("sandboxes")
        .select((eb) => eb.fn.countAll().as("live"))
        .where("org_id", "=", row.org_id)
        .where("phase", "in", livePhases)
        .executeTakeFirstOrThrow();
      if (Number(live) >= limit) {
        throw new CaissonError(
          "resource_exhausted",
          `This organisation already runs ${live} of ${limit} sandboxes. Kill one, or wait until one ends.`,
          {
            wireCode: "SANDBOX_LIMIT_REACHED",
          },
        );
      }
      await trx.insertInto("sandboxes").values(row).execute();
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
  async overdue(now: number): Promise<readonly Pick<SandboxRow, "id" | "stop_at">[]> {
    return this.#db
      .selectFrom("sandboxes")
      .select(["id", "stop_at"])
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

  /** Newest first. */
  async list({ orgId, labels, limit, before }: ListOptions): Promise<SandboxRow[]> {
    const wanted = Object.entries(labels);
    const found: SandboxRow[] = [];
    let position = before;
    // Labels are compared here and not in SQL: the two databases have no JSON operator in common.
    while (found.length < limit) {
      let query = this.#db
        .selectFrom("sandboxes")
        .selectAll()
        .where("org_id", "=", orgId)
        .orderBy("created_at", "desc")
        .orderBy("id", "desc")
        .limit(500);
      if (position !== undefined) {
        const { createdAt, id } = position;
        query = query.where((eb) =>
          eb.or([eb("created_at", "<", createdAt), eb.and([eb("created_at", "=", createdAt), eb("id", "<", id)])]),
        );
      }
      const rows = await query.execute();
      for (const row of rows) {
        const has = JSON.parse(row.labels) as Record<string, string>;
        if (found.length < limit && wanted.every(([key, value]) => has[key] === value)) found.push(row);
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < 500) break;
      position = { createdAt: last.created_at, id: last.id };
    }
    return found;
  }

  async countByPhase(): Promise<Record<string, number>> {
    const rows = await this.#db
      .selectFrom("sandboxes")
      .select((eb) => ["phase", eb.fn.countAll().as("count")])
      .groupBy("phase")
      .execute();
    return Object.fromEntries(rows.map((row) => [row.phase, Number(row.count)]));
  }
}

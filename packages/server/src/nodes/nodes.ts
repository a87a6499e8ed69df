/** Which node this server runs, and which others share its database. Rows of what lives on a node name it; nobody touches another's. */
import { hostname } from "node:os";
import type { NodeId } from "@caisson/protocol";
import type { NodeDatabase } from "./tables.ts";

/** Gives rows that were written before there were nodes to the first one. Idempotent. */
export type Claim = (nodeId: NodeId) => Promise<void>;

export interface NodesOptions {
  readonly db: NodeDatabase;
  readonly id: NodeId;
  readonly region: string;
}

export class Nodes {
  readonly id: NodeId;
  readonly #db: NodeDatabase;
  readonly #region: string;
  readonly #claims: Claim[] = [];

  constructor({ db, id, region }: NodesOptions) {
    this.id = id;
    this.#db = db;
    this.#region = region;
  }

  /** Called when no node has ever registered in this database. */
  onFirstNode(claim: Claim): void {
    this.#claims.push(claim);
  }

  async register(): Promise<void> {
    const known = await this.#db.selectFrom("nodes").select("id").executeTakeFirst();
    // Before the row is there, so that a crash in between has it done again.
    if (known === undefined) for (const claim of this.#claims) await claim(this.id);
    const now = Date.now();
    const about = { region: this.#region, hostname: hostname(), seen_at: now };
    await this.#db
      .insertInto("nodes")
      .values({ id: this.id, ...about, registered_at: now })
      .onConflict((conflict) => conflict.column("id").doUpdateSet(about))
      .execute();
  }

  async seen(): Promise<void> {
    await this.#db.updateTable("nodes").set({ seen_at: Date.now() }).where("id", "=", this.id).execute();
  }
}

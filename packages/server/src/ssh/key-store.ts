/** Public keys of organisations in the database. */
import type { SshKeyInfo } from "@caisson/api";
import type { Kysely } from "kysely";

export interface SshKeysTable {
  id: string;
  org_id: string;
  name: string;
  public_key: string;
  /** Unique in an organisation. */
  fingerprint: string;
  /** Milliseconds since the epoch. */
  created_at: number;
}

export interface SshKeyTables {
  ssh_keys: SshKeysTable;
}

/** SQLite allows 32766 parameters in a statement. */
const mostIds = 1000;

export class SshKeyStore {
  readonly #db: Kysely<SshKeyTables>;

  constructor(db: Kysely<SshKeyTables>) {
    this.#db = db;
  }

  /** Oldest first. */
  async of(orgId: string): Promise<SshKeyInfo[]> {
    const query = this.#db.selectFrom("ssh_keys").selectAll().where("org_id", "=", orgId);
    return (await query.orderBy("created_at").orderBy("id").execute()).map(infoOf);
  }

  /** @returns false: the organisation has this key already */
  async insert(orgId: string, { id, name, publicKey, fingerprint, createdAt }: SshKeyInfo): Promise<boolean> {
    const { numInsertedOrUpdatedRows } = await this.#db
      .insertInto("ssh_keys")
      .values({ id, org_id: orgId, name, public_key: publicKey, fingerprint, created_at: Date.parse(createdAt) })
      .onConflict((conflict) => conflict.columns(["org_id", "fingerprint"]).doNothing())
      .executeTakeFirstOrThrow();
    return numInsertedOrUpdatedRows === 1n;
  }

  async remove(orgId: string, id: string): Promise<SshKeyInfo | undefined> {
    const query = this.#db.deleteFrom("ssh_keys").where("org_id", "=", orgId).where("id", "=", id);
    const row = await query.returningAll().executeTakeFirst();
    return row && infoOf(row);
  }

  /** Those of the ids that still exist. */
  async existing(ids: readonly string[]): Promise<Set<string>> {
    const found = new Set<string>();
    for (let at = 0; at < ids.length; at += mostIds) {
      const some = ids.slice(at, at + mostIds);
      for (const { id } of await this.#db.selectFrom("ssh_keys").select("id").where("id", "in", some).execute())
        found.add(id);
    }
    return found;
  }
}

function infoOf({ id, name, public_key, fingerprint, created_at }: SshKeysTable): SshKeyInfo {
  return { id, name, publicKey: public_key, fingerprint, createdAt: new Date(created_at).toISOString() };
}

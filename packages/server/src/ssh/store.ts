/** User names in the database, so that they work on when the server restarts. A user name is a credential: only its hash is kept. */
import type { Kysely } from "kysely";

/** Rows are removed with their sandbox. */
export interface SshUsersTable {
  /** SHA-256 in hexadecimal digits. */
  user_hash: string;
  sandbox_id: string;
}

export interface SshTables {
  ssh_users: SshUsersTable;
}

export class SshStore {
  readonly #db: Kysely<SshTables>;

  constructor(db: Kysely<SshTables>) {
    this.#db = db;
  }

  async of(sandboxId: string): Promise<string[]> {
    const rows = await this.#db.selectFrom("ssh_users").selectAll().where("sandbox_id", "=", sandboxId).execute();
    return rows.map((row) => row.user_hash);
  }

  async insert(userHash: string, sandboxId: string): Promise<void> {
    await this.#db.insertInto("ssh_users").values({ user_hash: userHash, sandbox_id: sandboxId }).execute();
  }

  async removeOf(sandboxId: string): Promise<void> {
    await this.#db.deleteFrom("ssh_users").where("sandbox_id", "=", sandboxId).execute();
  }
}

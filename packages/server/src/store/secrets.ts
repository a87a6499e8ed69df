/** Secrets of live sandboxes, encrypted. They are kept so that a restarted server can hand them to the egress proxy again. */
import type { SecretBinding } from "@caisson/protocol";
import type { Sealer } from "./sealing.ts";
import type { Database } from "./tables.ts";

export class SecretStore {
  readonly #db: Database;
  readonly #sealer: Sealer;

  constructor(db: Database, sealer: Sealer) {
    this.#db = db;
    this.#sealer = sealer;
  }

  async insert(sandboxId: string, secrets: readonly SecretBinding[]): Promise<void> {
    if (secrets.length === 0) return;
    const rows = secrets.map(({ name, placeholder, value, ...rules }) => ({
      sandbox_id: sandboxId,
      name,
      placeholder,
      rules: JSON.stringify(rules),
      sealed: this.#sealer.seal(value, `${sandboxId}/${name}`),
    }));
    await this.#db.insertInto("secrets").values(rows).execute();
  }

  async of(sandboxId: string): Promise<SecretBinding[]> {
    const rows = await this.#db.selectFrom("secrets").selectAll().where("sandbox_id", "=", sandboxId).execute();
    return rows.map((row) => ({
      ...(JSON.parse(row.rules) as Pick<SecretBinding, "hosts">),
      name: row.name,
      placeholder: row.placeholder,
      value: this.#sealer.open(row.sealed, `${sandboxId}/${row.name}`),
    }));
  }

  async remove(sandboxId: string): Promise<void> {
    await this.#db.deleteFrom("secrets").where("sandbox_id", "=", sandboxId).execute();
  }
}

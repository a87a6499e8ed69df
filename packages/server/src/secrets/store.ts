/** Secrets of live sandboxes, encrypted. They are kept so that a restarted server can hand them to the egress proxy again. */
import { CaissonError, type SecretBinding } from "@caisson/protocol";
import type { Sealer } from "../kernel/sealing.ts";
import type { SecretDatabase, SecretsTable } from "./tables.ts";

export class SecretStore {
  readonly #db: SecretDatabase;
  readonly #sealer: Sealer;

  constructor(db: SecretDatabase, sealer: Sealer) {
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
      sealed: this.#sealer.seal(value, contextOf(sandboxId, name, placeholder, rules)),
    }));
    await this.#db.insertInto("secrets").values(rows).execute();
  }

  /** @throws CaissonError `internal` when a row is not as it was written */
  async of(sandboxId: string): Promise<SecretBinding[]> {
    const rows = await this.#db.selectFrom("secrets").selectAll().where("sandbox_id", "=", sandboxId).execute();
    return rows.map((row) => this.#open(row));
  }

  #open({ sandbox_id, name, placeholder, rules: text, sealed }: SecretsTable): SecretBinding {
    try {
      const rules = JSON.parse(text) as Rules;
      const value = this.#sealer.open(sealed, contextOf(sandbox_id, name, placeholder, rules));
      return { ...rules, name, placeholder, value };
    } catch (cause) {
      const why = cause instanceof CaissonError ? cause.message : "Its rules cannot be read.";
      throw new CaissonError("internal", `The secret ${name} of ${sandbox_id} cannot be used. ${why}`, { cause });
    }
  }

  async remove(sandboxId: string): Promise<void> {
    await this.#db.deleteFrom("secrets").where("sandbox_id", "=", sandboxId).execute();
  }
}

type Rules = Omit<SecretBinding, "name" | "placeholder" | "value">;

/**
 * What a sealed value belongs to. The rules are part of it, all that there are: whoever can write to the database, and not read the
 * key, could otherwise add a host of their own to those that get the value. In one order, so that only the rules decide.
 */
function contextOf(sandboxId: string, name: string, placeholder: string, rules: Rules): string {
  const given = Object.entries(rules).filter(([, value]) => value !== undefined);
  return JSON.stringify([sandboxId, name, placeholder, given.toSorted(([a], [b]) => (a < b ? -1 : 1))]);
}

/** Environment variables in the database, values encrypted. */
import type { EnvVar, EnvVarInit, EnvVarUpdate } from "@caisson/api";
import type { Sealer } from "../../kernel/sealing.ts";
import type { AppTransaction, EnvVarRow } from "../tables.ts";
import { changedVariables, newVariables, type Variable, type VariableLimits } from "./change.ts";
import { sealContext } from "./seal.ts";

/** Exactly one of the two. */
export type Owner = { readonly app: string } | { readonly layer: string };

export class EnvVarStore {
  readonly #sealer: Sealer;
  readonly #limits: VariableLimits;

  /** @param limits of one owner */
  constructor(sealer: Sealer, limits: VariableLimits) {
    this.#sealer = sealer;
    this.#limits = limits;
  }

  /** The variables of a new owner. @throws CaissonError, see `newVariables` */
  create(db: AppTransaction, orgId: string, owner: Owner, inits: readonly EnvVarInit[]): Promise<void> {
    return this.#replace(db, orgId, owner, newVariables(inits, this.#limits));
  }

  /** @throws CaissonError, see `changedVariables` */
  async change(db: AppTransaction, orgId: string, owner: Owner, updates: readonly EnvVarUpdate[]): Promise<void> {
    const former = (await rowsOf(db, [owner])).map((row) => this.#open(row));
    await this.#replace(db, orgId, owner, changedVariables(former, updates, this.#limits));
  }

  /** As clients see them: without the values of secrets. In the order of `owners`. */
  async shown(db: AppTransaction, owners: readonly Owner[]): Promise<EnvVar[][]> {
    const rows = await rowsOf(db, owners);
    return owners.map((owner) =>
      rows.filter((row) => ownerId(owner) === (row.app_id ?? row.layer_id)).map((row) => shown(this.#open(row))),
    );
  }

  /** In place of all that the owner had. */
  async #replace(db: AppTransaction, orgId: string, owner: Owner, variables: readonly Variable[]): Promise<void> {
    const column = "app" in owner ? "app_id" : "layer_id";
    await db.deleteFrom("env_vars").where(column, "=", ownerId(owner)).execute();
    if (variables.length === 0) return;
    const rows = variables.map(({ id, key, value, secret, contexts }, position) => ({
      id,
      org_id: orgId,
      app_id: "app" in owner ? owner.app : null,
      layer_id: "layer" in owner ? owner.layer : null,
      position,
      key,
      secret: secret ? 1 : 0,
      contexts: contexts === null ? null : JSON.stringify(contexts),
      sealed: this.#sealer.seal(value, sealContext({ id, key })),
    }));
    for (let done = 0; done < rows.length; done += rowsAtOnce)
      await db
        .insertInto("env_vars")
        .values(rows.slice(done, done + rowsAtOnce))
        .execute();
  }

  #open(row: EnvVarRow): Variable {
    const { id, key, secret, contexts, sealed } = row;
    return {
      id,
      key,
      value: this.#sealer.open(sealed, sealContext(row)),
      secret: secret === 1,
      contexts: contexts === null ? null : (JSON.parse(contexts) as string[]),
    };
  }
}

/** SQLite allows 32766 parameters in a statement, a row has nine. */
const rowsAtOnce = 500;

function rowsOf(db: AppTransaction, owners: readonly Owner[]): Promise<EnvVarRow[]> {
  const apps = owners.flatMap((owner) => ("app" in owner ? [owner.app] : []));
  const layers = owners.flatMap((owner) => ("layer" in owner ? [owner.layer] : []));
  if (owners.length === 0) return Promise.resolve([]);
  return db
    .selectFrom("env_vars")
    .selectAll()
    .where((eb) =>
      eb.or([
        ...(apps.length > 0 ? [eb("app_id", "in", apps)] : []),
        ...(layers.length > 0 ? [eb("layer_id", "in", layers)] : []),
      ]),
    )
    .orderBy("position")
    .execute();
}

function ownerId(owner: Owner): string {
  return "app" in owner ? owner.app : owner.layer;
}

function shown({ id, key, value, secret, contexts }: Variable): EnvVar {
  return { id, key, ...(secret ? {} : { value }), secret, contexts: contexts === null ? "all" : [...contexts] };
}

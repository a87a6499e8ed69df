/**
 * The environment that code of an app gets: its own variables, then those of its layers in order of priority, then those of the layers
 * which these include. The first definition of a name that applies to the context counts.
 */
import type { EnvContext } from "@caisson/api";
import type { Sealer } from "../kernel/sealing.ts";
import { sealContext } from "./env-vars/seal.ts";
import { includedLayers } from "./includes.ts";
import { layersOfApp } from "./lookup.ts";
import type { AppDatabase, EnvVarRow } from "./tables.ts";

export interface EnvironmentRequest {
  readonly appId: string;
  /** Ids, in order of priority. Default: the app's. */
  readonly layers?: readonly string[] | undefined;
  readonly context: EnvContext;
}

export class Environments {
  readonly #db: AppDatabase;
  readonly #sealer: Sealer;

  constructor(db: AppDatabase, sealer: Sealer) {
    this.#db = db;
    this.#sealer = sealer;
  }

  /** Names and values, those of secret variables included. A layer that no longer exists is left out. */
  async of(request: EnvironmentRequest): Promise<Record<string, string>> {
    const rows = [...(await this.#rows(request)).values()];
    return Object.fromEntries(rows.map((row) => [row.key, this.#sealer.open(row.sealed, sealContext(row))]));
  }

  /** Names of the secret ones. */
  async secrets(request: EnvironmentRequest): Promise<readonly string[]> {
    return [...(await this.#rows(request)).values()].filter(({ secret }) => secret === 1).map(({ key }) => key);
  }

  async #rows({ appId, layers, context }: EnvironmentRequest): Promise<ReadonlyMap<string, EnvVarRow>> {
    const own = await this.#db.selectFrom("env_vars").selectAll().where("app_id", "=", appId).execute();
    const result = new Map<string, EnvVarRow>();
    const add = (rows: readonly EnvVarRow[]) => {
      for (const row of rows) if (appliesTo(row, context) && !result.has(row.key)) result.set(row.key, row);
    };
    add(own);
    const order = await includedLayers(this.#db, layers ?? (await layersOfApp(this.#db, appId)).map(({ id }) => id));
    if (order.length > 0) {
      const inherited = await this.#db.selectFrom("env_vars").selectAll().where("layer_id", "in", order).execute();
      for (const id of order) add(inherited.filter(({ layer_id }) => layer_id === id));
    }
    return result;
  }
}

function appliesTo({ contexts }: EnvVarRow, context: EnvContext): boolean {
  return contexts === null || (JSON.parse(contexts) as string[]).includes(context);
}

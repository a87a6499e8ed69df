/**
 * The environment that code of an app gets: its own variables, then those of its layers in order of priority, then those of the layers
 * which these include. The first definition of a name that applies to the context counts.
 */
import type { EnvContext, LayerReference } from "@caisson/api";
import type { Sealer } from "../kernel/sealing.ts";
import { sealContext } from "./env-vars/seal.ts";
import type { AppDatabase, EnvVarRow } from "./tables.ts";

/** How deep layers may include layers. */
export const maxLayerDepth = 8;

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
  async of({ appId, layers, context }: EnvironmentRequest): Promise<Record<string, string>> {
    const own = await this.#db.selectFrom("env_vars").selectAll().where("app_id", "=", appId).execute();
    const result = new Map<string, string>();
    const add = (rows: readonly EnvVarRow[]) => {
      for (const row of rows)
        if (appliesTo(row, context) && !result.has(row.key))
          result.set(row.key, this.#sealer.open(row.sealed, sealContext(row)));
    };
    add(own);
    const order = await includedLayers(this.#db, layers ?? (await layersOfApp(this.#db, appId)).map(({ id }) => id));
    if (order.length > 0) {
      const inherited = await this.#db.selectFrom("env_vars").selectAll().where("layer_id", "in", order).execute();
      for (const id of order) add(inherited.filter(({ layer_id }) => layer_id === id));
    }
    return Object.fromEntries(result);
  }
}

/** In order of priority. */
export function layersOfApp(db: AppDatabase, appId: string): Promise<LayerReference[]> {
  return db
    .selectFrom("app_config_layers")
    .innerJoin("config_layers", "config_layers.id", "app_config_layers.layer_id")
    .select(["config_layers.id", "config_layers.slug"])
    .where("app_id", "=", appId)
    .orderBy("position")
    .execute();
}

/** These layers and what they include, each once, in order of priority: a layer comes before what it includes. */
export async function includedLayers(db: AppDatabase, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const includes = new Map<string, string[]>();
  let wanted = [...new Set(ids)];
  for (let depth = 0; depth < maxLayerDepth && wanted.length > 0; depth++) {
    const rows = await db
      .selectFrom("config_layer_includes")
      .select(["layer_id", "included_id"])
      .where("layer_id", "in", wanted)
      .orderBy("position")
      .execute();
    for (const id of wanted) includes.set(id, []);
    for (const { layer_id, included_id } of rows) includes.get(layer_id)!.push(included_id);
    wanted = [...new Set(rows.map((row) => row.included_id))].filter((id) => !includes.has(id));
  }
  const order: string[] = [];
  const visit = (id: string) => {
    if (order.includes(id)) return;
    order.push(id);
    for (const included of includes.get(id) ?? []) visit(included);
  };
  for (const id of ids) visit(id);
  return order;
}

function appliesTo({ contexts }: EnvVarRow, context: EnvContext): boolean {
  return contexts === null || (JSON.parse(contexts) as string[]).includes(context);
}

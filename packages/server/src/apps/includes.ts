/** Layers that include layers. There are never circles. */
import { CaissonError } from "@caisson/protocol";
import { requireLayers } from "./lookup.ts";
import type { AppTransaction, ConfigLayerRow } from "./tables.ts";

/** How deep layers may include layers. */
const maxLayerDepth = 8;

/** These layers and what they include, each once, in order of priority: a layer comes before what it includes. */
export async function includedLayers(db: AppTransaction, ids: readonly string[]): Promise<string[]> {
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

/** @throws CaissonError `invalid_argument`, `not_found` */
export async function setIncludes(trx: AppTransaction, row: ConfigLayerRow, named: readonly string[]): Promise<void> {
  const layers = await requireLayers(trx, row.org_id, named);
  await trx.deleteFrom("config_layer_includes").where("layer_id", "=", row.id).execute();
  const ids = layers.map(({ id }) => id);
  if ((await includedLayers(trx, ids)).includes(row.id))
    throw new CaissonError("invalid_argument", `The layer \`${row.slug}\` would include itself.`);
  const rows = layers.map((layer, position) => ({ layer_id: row.id, position, included_id: layer.id }));
  if (rows.length === 0) return;
  await trx.insertInto("config_layer_includes").values(rows).execute();
  const depth = (await levels(trx, row.id, "down")).length + (await levels(trx, row.id, "up")).length;
  if (depth > maxLayerDepth)
    throw new CaissonError(
      "invalid_argument",
      `The layer \`${row.slug}\` would be part of ${depth + 1} layers that include each other; the limit is ${maxLayerDepth + 1}.`,
    );
}

/** Ids of the apps that get the variables of a layer. */
export async function appsThatInherit(trx: AppTransaction, layerId: string): Promise<string[]> {
  const layers = [layerId, ...(await levels(trx, layerId, "up")).flat()];
  const rows = await trx
    .selectFrom("app_config_layers")
    .select("app_id")
    .distinct()
    .where("layer_id", "in", [...new Set(layers)])
    .execute();
  return rows.map((row) => row.app_id);
}

/** What includes a layer (`up`), or what it includes: those next to it first. As many levels as the longest way has. */
async function levels(trx: AppTransaction, layerId: string, direction: "up" | "down"): Promise<string[][]> {
  const [from, to] =
    direction === "up" ? (["included_id", "layer_id"] as const) : (["layer_id", "included_id"] as const);
  const result: string[][] = [];
  for (let wanted = [layerId]; result.length <= maxLayerDepth; result.push(wanted)) {
    const rows = await trx
      .selectFrom("config_layer_includes")
      .select(`${to} as id`)
      .where(from, "in", wanted)
      .execute();
    wanted = [...new Set(rows.map(({ id }) => id))];
    if (wanted.length === 0) break;
  }
  return result;
}

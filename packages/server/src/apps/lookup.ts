/** Finds apps and layers of configuration by id or slug. */
import type { LayerReference } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import type { AppRow, AppTransaction, ConfigLayerRow } from "./tables.ts";

/** Ids are UUIDs, slugs are as `checkSlug` says. Anything else is nobody's; PostgreSQL refuses some of it, such as NUL characters. */
function canExist(idOrSlug: string): boolean {
  return /^[a-z0-9-]{1,36}$/.test(idOrSlug);
}

/** @throws CaissonError `not_found` (APP_NOT_FOUND) */
export async function requireApp(db: AppTransaction, orgId: string, idOrSlug: string): Promise<AppRow> {
  const app = canExist(idOrSlug)
    ? await db
        .selectFrom("apps")
        .selectAll()
        .where("org_id", "=", orgId)
        .where("deleted_at", "is", null)
        .where((eb) => eb.or([eb("id", "=", idOrSlug), eb("slug", "=", idOrSlug)]))
        .executeTakeFirst()
    : undefined;
  if (app === undefined)
    throw new CaissonError("not_found", `No such app: \`${idOrSlug.slice(0, 64)}\`.`, { wireCode: "APP_NOT_FOUND" });
  return app;
}

export async function findLayer(
  db: AppTransaction,
  orgId: string,
  idOrSlug: string,
): Promise<ConfigLayerRow | undefined> {
  if (!canExist(idOrSlug)) return undefined;
  return db
    .selectFrom("config_layers")
    .selectAll()
    .where("org_id", "=", orgId)
    .where((eb) => eb.or([eb("id", "=", idOrSlug), eb("slug", "=", idOrSlug)]))
    .executeTakeFirst();
}

/** @throws CaissonError `not_found` (LAYER_NOT_FOUND) */
export async function requireLayer(db: AppTransaction, orgId: string, idOrSlug: string): Promise<ConfigLayerRow> {
  const layer = await findLayer(db, orgId, idOrSlug);
  if (layer === undefined)
    throw new CaissonError("not_found", `No such layer: \`${idOrSlug.slice(0, 64)}\`.`, {
      wireCode: "LAYER_NOT_FOUND",
    });
  return layer;
}

/**
 * The layers that a request names, in its order.
 * @throws CaissonError `invalid_argument` when one is named twice, `not_found`
 */
export async function requireLayers(
  db: AppTransaction,
  orgId: string,
  named: readonly string[],
): Promise<ConfigLayerRow[]> {
  const layers: ConfigLayerRow[] = [];
  for (const idOrSlug of named) {
    const layer = await requireLayer(db, orgId, idOrSlug);
    if (layers.some(({ id }) => id === layer.id))
      throw new CaissonError("invalid_argument", `The layer \`${layer.slug}\` is named twice in \`layers\`.`);
    layers.push(layer);
  }
  return layers;
}

/** The layers that apps name, by app, in order of priority. */
export async function layersOf(db: AppTransaction, appIds: readonly string[]): Promise<Map<string, LayerReference[]>> {
  if (appIds.length === 0) return new Map();
  const rows = await db
    .selectFrom("app_config_layers")
    .innerJoin("config_layers", "config_layers.id", "app_config_layers.layer_id")
    .select(["app_id", "config_layers.id", "config_layers.slug"])
    .where("app_id", "in", appIds)
    .orderBy("position")
    .execute();
  const result = new Map<string, LayerReference[]>();
  for (const { app_id, id, slug } of rows) result.set(app_id, [...(result.get(app_id) ?? []), { id, slug }]);
  return result;
}

export async function layersOfApp(db: AppTransaction, appId: string): Promise<LayerReference[]> {
  return (await layersOf(db, [appId])).get(appId) ?? [];
}

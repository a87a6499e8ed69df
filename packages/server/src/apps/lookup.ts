/** Finds apps and layers of configuration by id or slug. */
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

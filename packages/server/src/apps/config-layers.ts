/** Creates, changes, lists and deletes layers of configuration. A change of one reaches all apps that name it, at once. */
import type { CreateLayerRequest, Layer, LayerReference, UpdateLayerRequest } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { sql } from "kysely";
import { randomUUID } from "node:crypto";
import { inTransaction, later, type AppContext } from "./context.ts";
import { appsThatInherit, setIncludes } from "./includes.ts";
import { requireLayer } from "./lookup.ts";
import { checkSlug, slugInUse } from "./slug.ts";
import type { AppTransaction, ConfigLayerRow } from "./tables.ts";

interface Page {
  readonly limit: number;
  /** Rows older than this one. */
  readonly before?: { readonly createdAt: number; readonly id: string } | undefined;
}

/** @throws CaissonError `invalid_argument`, `already_exists`, `not_found`, `resource_exhausted` */
export async function createLayer(ctx: AppContext, orgId: string, request: CreateLayerRequest): Promise<Layer> {
  const slug = checkSlug(request.slug);
  const now = Date.now();
  return inTransaction(ctx, orgId, async (trx) => {
    const { count } = await trx
      .selectFrom("config_layers")
      .select((eb) => eb.fn.countAll().as("count"))
      .where("org_id", "=", orgId)
      .executeTakeFirstOrThrow();
    if (Number(count) >= ctx.limits.maxLayers)
      throw new CaissonError(
        "resource_exhausted",
        `This organisation has ${count} layers; the limit is ${ctx.limits.maxLayers}. Delete one first.`,
        { wireCode: "LAYER_LIMIT_REACHED" },
      );
    const row: ConfigLayerRow = {
      id: randomUUID(),
      org_id: orgId,
      slug,
      description: request.description ?? null,
      created_at: now,
      updated_at: now,
    };
    await checkSlugIsFree(trx, row);
    await trx.insertInto("config_layers").values(row).execute();
    await setIncludes(trx, row, request.layers ?? []);
    await ctx.envVars.create(trx, orgId, { layer: row.id }, request.env_vars ?? []);
    return (await toLayers(ctx, trx, [row]))[0]!;
  });
}

/** @throws CaissonError `invalid_argument`, `already_exists`, `not_found`, `resource_exhausted` */
export async function updateLayer(
  ctx: AppContext,
  orgId: string,
  idOrSlug: string,
  { slug, description, layers, env_vars }: UpdateLayerRequest,
): Promise<Layer> {
  const { layer, apps } = await inTransaction(ctx, orgId, async (trx) => {
    const former = await requireLayer(trx, orgId, idOrSlug);
    const row: ConfigLayerRow = {
      ...former,
      slug: slug == null ? former.slug : checkSlug(slug),
      description: description == null ? former.description : description,
      updated_at: later(former.updated_at),
    };
    if (row.slug !== former.slug) await checkSlugIsFree(trx, row);
    await trx.updateTable("config_layers").set(row).where("id", "=", row.id).execute();
    if (layers != null) await setIncludes(trx, row, layers);
    if (env_vars != null) await ctx.envVars.change(trx, orgId, { layer: row.id }, env_vars);
    return { layer: (await toLayers(ctx, trx, [row]))[0]!, apps: await appsThatInherit(trx, row.id) };
  });
  ctx.changed(apps);
  return layer;
}

export async function getLayer(ctx: AppContext, orgId: string, idOrSlug: string): Promise<Layer> {
  return (await toLayers(ctx, ctx.db, [await requireLayer(ctx.db, orgId, idOrSlug)]))[0]!;
}

/** Newest first. @param request `search`: part of the slug, the description or the id */
export async function listLayers(
  ctx: AppContext,
  { orgId, search, limit, before }: Page & { readonly orgId: string; readonly search?: string | undefined },
): Promise<{ row: ConfigLayerRow; item: Layer }[]> {
  let query = ctx.db
    .selectFrom("config_layers")
    .selectAll()
    .where("org_id", "=", orgId)
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(limit);
  if (search !== undefined && search !== "") {
    const wanted = `%${search.replaceAll("\0", "").replaceAll(/[!%_]/g, "!$&")}%`;
    query = query.where((eb) =>
      eb.or(
        ["slug", "id", "description"].map(
          (column) => sql<boolean>`lower(${sql.ref(column)}) like lower(${wanted}) escape '!'`,
        ),
      ),
    );
  }
  if (before !== undefined)
    query = query.where((eb) => eb(eb.refTuple("created_at", "id"), "<", eb.tuple(before.createdAt, before.id)));
  const rows = await query.execute();
  const items = await toLayers(ctx, ctx.db, rows);
  return rows.map((row, index) => ({ row, item: items[index]! }));
}

/** Apps that name a layer, newest first. */
export function listLayerApps(
  { db }: AppContext,
  layerId: string,
  { limit, before }: Page,
): Promise<{ id: string; slug: string; created_at: number; position: number }[]> {
  let query = db
    .selectFrom("app_config_layers")
    .innerJoin("apps", "apps.id", "app_config_layers.app_id")
    .select(["apps.id", "apps.slug", "apps.created_at", "app_config_layers.position"])
    .where("app_config_layers.layer_id", "=", layerId)
    .where("apps.deleted_at", "is", null)
    .orderBy("apps.created_at", "desc")
    .orderBy("apps.id", "desc")
    .limit(limit);
  if (before !== undefined)
    query = query.where((eb) =>
      eb(eb.refTuple("apps.created_at", "apps.id"), "<", eb.tuple(before.createdAt, before.id)),
    );
  return query.execute();
}

/** @throws CaissonError `not_found`; `invalid_state` while an app or another layer names it */
export async function deleteLayer(ctx: AppContext, orgId: string, idOrSlug: string): Promise<void> {
  await inTransaction(ctx, orgId, async (trx) => {
    const { id, slug } = await requireLayer(trx, orgId, idOrSlug);
    const users = [
      ...(await trx
        .selectFrom("app_config_layers")
        .innerJoin("apps", "apps.id", "app_config_layers.app_id")
        .select("apps.slug")
        .where("layer_id", "=", id)
        .limit(4)
        .execute()),
      ...(await trx
        .selectFrom("config_layer_includes")
        .innerJoin("config_layers", "config_layers.id", "config_layer_includes.layer_id")
        .select("config_layers.slug")
        .where("included_id", "=", id)
        .limit(4)
        .execute()),
    ].map((user) => `\`${user.slug}\``);
    if (users.length > 0)
      throw new CaissonError(
        "invalid_state",
        `The layer \`${slug}\` is in use by ${users.slice(0, 3).join(", ")}${users.length > 3 ? " and others" : ""}. Take it out of their \`layers\` first.`,
      );
    await trx.deleteFrom("config_layers").where("id", "=", id).execute();
  });
}

async function checkSlugIsFree(trx: AppTransaction, { id, org_id, slug }: ConfigLayerRow): Promise<void> {
  const other = await trx
    .selectFrom("config_layers")
    .select("id")
    .where("org_id", "=", org_id)
    .where("slug", "=", slug)
    .where("id", "!=", id)
    .executeTakeFirst();
  if (other !== undefined) throw slugInUse("layer", slug);
}

async function toLayers(
  { envVars }: AppContext,
  db: AppTransaction,
  rows: readonly ConfigLayerRow[],
): Promise<Layer[]> {
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const variables = await envVars.shown(
    db,
    ids.map((layer) => ({ layer })),
  );
  const includes = await db
    .selectFrom("config_layer_includes")
    .innerJoin("config_layers", "config_layers.id", "config_layer_includes.included_id")
    .select(["layer_id", "config_layers.id", "config_layers.slug"])
    .where("layer_id", "in", ids)
    .orderBy("position")
    .execute();
  const counts = await db
    .selectFrom("app_config_layers")
    .select((eb) => ["layer_id", eb.fn.countAll().as("count")])
    .where("layer_id", "in", ids)
    .groupBy("layer_id")
    .execute();
  return rows.map(({ id, slug, description, created_at, updated_at }, index) => ({
    id,
    slug,
    ...(description === null ? {} : { description }),
    layers: includes
      .filter((row) => row.layer_id === id)
      .map((row): LayerReference => ({ id: row.id, slug: row.slug })),
    env_vars: variables[index]!,
    app_count: Number(counts.find((row) => row.layer_id === id)?.count ?? 0),
    created_at: new Date(created_at).toISOString(),
    updated_at: new Date(updated_at).toISOString(),
  }));
}

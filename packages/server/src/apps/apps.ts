/** Creates, changes, lists and deletes apps. */
import type { App, AppConfig, CreateAppRequest, LayerReference, UpdateAppRequest } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { randomUUID } from "node:crypto";
import { faultOfLabels } from "../kernel/labels/check.ts";
import { filterKey, filterKeys } from "../kernel/labels/filter-keys.ts";
import { inTransaction, later, type AppContext } from "./context.ts";
import { findLayer, layersOf, layersOfApp, requireApp, requireLayers } from "./lookup.ts";
import { checkSlug, randomSlug, slugInUse } from "./slug.ts";
import type { AppRow, AppTransaction } from "./tables.ts";

export interface AppListRequest {
  readonly orgId: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Id or slug. */
  readonly layer?: string | undefined;
  readonly limit: number;
  /** Rows older than this one. */
  readonly before?: { readonly createdAt: number; readonly id: string } | undefined;
}

/** An app without its variables and its configuration. */
export type AppListItem = Omit<App, "env_vars" | "config">;

/** @throws CaissonError `invalid_argument`, `already_exists`, `not_found`, `resource_exhausted` */
export async function createApp(ctx: AppContext, orgId: string, request: CreateAppRequest): Promise<App> {
  const { limits, envVars } = ctx;
  const labels = checkLabels(request.labels ?? {});
  const slug = request.slug == null ? undefined : checkSlug(request.slug);
  const now = Date.now();
  return inTransaction(ctx, orgId, async (trx) => {
    const count = await countApps(trx, orgId);
    if (count >= limits.maxCount)
      throw new CaissonError(
        "resource_exhausted",
        `This organisation has ${count} apps; the limit is ${limits.maxCount}. Delete one first.`,
        { wireCode: "APP_LIMIT_REACHED" },
      );
    const row: AppRow = {
      id: randomUUID(),
      org_id: orgId,
      slug: slug ?? randomSlug(),
      labels: JSON.stringify(labels),
      config: JSON.stringify(request.config ?? {}),
      created_at: now,
      updated_at: now,
      deleted_at: null,
    };
    await checkSlugIsFree(trx, row);
    await trx.insertInto("apps").values(row).execute();
    await setLabels(trx, row, labels);
    await setLayers(trx, row, request.layers ?? []);
    await envVars.create(trx, orgId, { app: row.id }, request.env_vars ?? []);
    return toApp(ctx, trx, row);
  });
}

/** @throws CaissonError `invalid_argument`, `already_exists`, `not_found`, `resource_exhausted` */
export async function updateApp(
  ctx: AppContext,
  orgId: string,
  idOrSlug: string,
  request: UpdateAppRequest,
): Promise<App> {
  const { slug, labels, config, layers, env_vars } = request;
  const app = await inTransaction(ctx, orgId, async (trx) => {
    const former = await requireApp(trx, orgId, idOrSlug);
    const row: AppRow = {
      ...former,
      slug: slug == null ? former.slug : checkSlug(slug),
      labels: labels == null ? former.labels : JSON.stringify(checkLabels(labels)),
      config: config == null ? former.config : JSON.stringify(config),
      updated_at: later(former.updated_at),
    };
    if (row.slug !== former.slug) await checkSlugIsFree(trx, row);
    await trx.updateTable("apps").set(row).where("id", "=", row.id).execute();
    if (labels != null) await setLabels(trx, row, labels);
    if (layers != null) await setLayers(trx, row, layers);
    if (env_vars != null) await ctx.envVars.change(trx, orgId, { app: row.id }, env_vars);
    return toApp(ctx, trx, row);
  });
  ctx.changed([app.id]);
  return app;
}

export async function getApp(ctx: AppContext, orgId: string, idOrSlug: string): Promise<App> {
  return toApp(ctx, ctx.db, await requireApp(ctx.db, orgId, idOrSlug));
}

/** Newest first. */
export async function listApps(
  ctx: AppContext,
  request: AppListRequest,
): Promise<{ row: AppRow; item: AppListItem }[]> {
  const { orgId, labels, limit, before } = request;
  const layer = request.layer === undefined ? undefined : await findLayer(ctx.db, orgId, request.layer);
  if (request.layer !== undefined && layer === undefined) return [];
  let query = ctx.db
    .selectFrom("apps")
    .selectAll("apps")
    .where("apps.org_id", "=", orgId)
    .where("apps.deleted_at", "is", null)
    .orderBy("apps.created_at", "desc")
    .orderBy("apps.id", "desc")
    .limit(limit);
  if (Object.keys(labels).length > 0)
    query = query.where("apps.id", "in", (eb) =>
      eb.selectFrom("app_labels").select("app_id").where("org_id", "=", orgId).where("filter", "=", filterKey(labels)),
    );
  if (layer !== undefined)
    query = query.where("apps.id", "in", (eb) =>
      eb.selectFrom("app_config_layers").select("app_id").where("layer_id", "=", layer.id),
    );
  if (before !== undefined)
    query = query.where((eb) =>
      eb(eb.refTuple("apps.created_at", "apps.id"), "<", eb.tuple(before.createdAt, before.id)),
    );
  const rows = await query.execute();
  const layers = await layersOf(
    ctx.db,
    rows.map(({ id }) => id),
  );
  return rows.map((row) => ({ row, item: toItem(row, layers.get(row.id) ?? []) }));
}

/**
 * From its return on, nobody finds the app, and its slug is free. What it holds is given back before, or soon after when that fails.
 * @throws CaissonError `not_found`
 */
export async function deleteApp(ctx: AppContext, orgId: string, idOrSlug: string): Promise<void> {
  const app = await inTransaction(ctx, orgId, async (trx) => {
    const row = await requireApp(trx, orgId, idOrSlug);
    const deleted = { ...row, deleted_at: Date.now() };
    await trx.updateTable("apps").set({ deleted_at: deleted.deleted_at }).where("id", "=", row.id).execute();
    // Its layers and labels are free at once.
    await trx.deleteFrom("app_config_layers").where("app_id", "=", row.id).execute();
    await trx.deleteFrom("app_labels").where("app_id", "=", row.id).execute();
    return deleted;
  });
  await removeDeleted(ctx, app);
}

/** Gives back what deleted apps still hold. To be called regularly. */
export async function removeAllDeleted(ctx: AppContext, signal: AbortSignal): Promise<void> {
  const rows = await ctx.db.selectFrom("apps").selectAll().where("deleted_at", "is not", null).execute();
  for (const app of rows) {
    if (signal.aborted) return;
    await removeDeleted(ctx, app);
  }
}

/** Never throws. */
async function removeDeleted({ db, log, release }: AppContext, app: AppRow): Promise<void> {
  try {
    await release(app);
    await db.deleteFrom("apps").where("id", "=", app.id).where("deleted_at", "is not", null).execute();
  } catch (error) {
    log.error({ err: error, app: app.id }, "a deleted app could not give back everything; trying again");
  }
}

function checkLabels(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const fault = faultOfLabels(labels);
  if (fault !== undefined) throw new CaissonError("invalid_argument", `Invalid labels: ${fault}.`);
  return labels;
}

async function countApps(trx: AppTransaction, orgId: string): Promise<number> {
  const { count } = await trx
    .selectFrom("apps")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("org_id", "=", orgId)
    .where("deleted_at", "is", null)
    .executeTakeFirstOrThrow();
  return Number(count);
}

async function checkSlugIsFree(trx: AppTransaction, { id, org_id, slug }: AppRow): Promise<void> {
  const other = await trx
    .selectFrom("apps")
    .select("id")
    .where("org_id", "=", org_id)
    .where("slug", "=", slug)
    .where("deleted_at", "is", null)
    .where("id", "!=", id)
    .executeTakeFirst();
  if (other !== undefined) throw slugInUse("app", slug);
}

async function setLabels(
  trx: AppTransaction,
  { id, org_id, created_at }: AppRow,
  labels: Readonly<Record<string, string>>,
) {
  await trx.deleteFrom("app_labels").where("app_id", "=", id).execute();
  const rows = filterKeys(labels).map((filter) => ({ org_id, filter, created_at, app_id: id }));
  if (rows.length > 0) await trx.insertInto("app_labels").values(rows).execute();
}

async function setLayers(trx: AppTransaction, { id, org_id }: AppRow, named: readonly string[]): Promise<void> {
  const layers = await requireLayers(trx, org_id, named);
  await trx.deleteFrom("app_config_layers").where("app_id", "=", id).execute();
  const rows = layers.map((layer, position) => ({ app_id: id, position, layer_id: layer.id }));
  if (rows.length > 0) await trx.insertInto("app_config_layers").values(rows).execute();
}

async function toApp({ envVars }: AppContext, db: AppTransaction, row: AppRow): Promise<App> {
  const layers = await layersOfApp(db, row.id);
  const [env_vars = []] = await envVars.shown(db, [{ app: row.id }]);
  const { id, slug, labels, created_at, updated_at } = toItem(row, layers);
  return { id, slug, labels, env_vars, config: JSON.parse(row.config) as AppConfig, layers, created_at, updated_at };
}

function toItem({ id, slug, labels, created_at, updated_at }: AppRow, layers: readonly LayerReference[]): AppListItem {
  return {
    id,
    slug,
    labels: JSON.parse(labels) as Record<string, string>,
    layers: [...layers],
    created_at: new Date(created_at).toISOString(),
    updated_at: new Date(updated_at).toISOString(),
  };
}

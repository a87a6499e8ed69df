/** @module Apps: their configuration, layers of configuration, and environment variables. */
import type { EnvContext, LayerReference } from "@caisson/api";
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { removeAllDeleted } from "./apps.ts";
import type { AppContext } from "./context.ts";
import { EnvVarStore } from "./env-vars/store.ts";
import { Environments, type EnvironmentRequest } from "./environment.ts";
import { layersOfApp, requireApp, requireLayers } from "./lookup.ts";
import { up } from "./migrations.ts";
import { appRoutes } from "./routes/apps.ts";
import { layerRoutes } from "./routes/layers.ts";
import type { AppDatabase, AppRow } from "./tables.ts";

export { newVariables } from "./env-vars/change.ts";
export type { AppRow, AppTables } from "./tables.ts";
export type { EnvContext };

/** What other slices use of apps. */
export interface AppsService {
  /** @throws CaissonError `not_found` (APP_NOT_FOUND) */
  require(orgId: string, idOrSlug: string): Promise<AppRow>;
  /** By id, of any organisation. Undefined when it does not exist, or no longer. */
  get(id: string): Promise<AppRow | undefined>;
  /** For hostnames: who an app belongs to is part of its name, and no token is asked for. */
  bySlugs(orgSlug: string, appSlug: string): Promise<AppRow | undefined>;
  /** In order of priority. */
  layersOf(appId: string): Promise<LayerReference[]>;
  /** @throws CaissonError `not_found` (LAYER_NOT_FOUND), `invalid_argument` */
  requireLayers(orgId: string, idsOrSlugs: readonly string[]): Promise<LayerReference[]>;
  /** See `Environments.of`. */
  environment(request: EnvironmentRequest): Promise<Record<string, string>>;
  /** Names of the secret variables among them. */
  secretVariables(request: EnvironmentRequest): Promise<readonly string[]>;
  /**
   * Called when an app was deleted, after its row says so and before its rows are removed; again until it succeeds. Must be idempotent
   * and stop its traffic first.
   */
  onDelete(listener: (app: AppRow) => Promise<void>): void;
  /** Called after the environment or the configuration of these apps changed. Must not throw. */
  onChange(listener: (appIds: readonly string[]) => void): void;
}

export const appsService = serviceKey<AppsService>("apps");

/** Milliseconds. */
const removalInterval = 10_000;

/** Of the bodies that have environment variables. */
const largestBody = 2 ** 20;

export const appsSlice: Slice = {
  name: "apps",
  migrations: { "2026-12-04-apps": { up } },
  setup({ db: anyDb, config, lockRows, sealer, log, services, publicUrl }) {
    const db = anyDb as AppDatabase;
    const environments = new Environments(db, sealer);
    const deletes: ((app: AppRow) => Promise<void>)[] = [];
    const changes: ((appIds: readonly string[]) => void)[] = [];
    const ctx: AppContext = {
      db,
      lockRows,
      envVars: new EnvVarStore(sealer, { count: config.apps.envVars, bytes: config.apps.envBytes }),
      limits: config.apps,
      log,
      changed: (appIds) => {
        for (const listener of changes) listener(appIds);
      },
      release: async (app) => {
        // Those of later slices first: what serves stops before what it served is removed.
        for (const listener of deletes.toReversed()) await listener(app);
      },
    };
    const existing = db.selectFrom("apps").selectAll("apps").where("apps.deleted_at", "is", null);
    services.provide(appsService, {
      require: (orgId, idOrSlug) => requireApp(db, orgId, idOrSlug),
      get: (id) => existing.where("apps.id", "=", id).executeTakeFirst(),
      bySlugs: (orgSlug, appSlug) =>
        existing
          .innerJoin("orgs", "orgs.id", "apps.org_id")
          .where("orgs.slug", "=", orgSlug)
          .where("apps.slug", "=", appSlug)
          .executeTakeFirst(),
      layersOf: (appId) => layersOfApp(db, appId),
      requireLayers: async (orgId, named) =>
        (await requireLayers(db, orgId, named)).map(({ id, slug }) => ({ id, slug })),
      environment: (request) => environments.of(request),
      secretVariables: (request) => environments.secrets(request),
      onDelete: (listener) => void deletes.push(listener),
      onChange: (listener) => void changes.push(listener),
    });
    return {
      largeBodies: [{ path: /^\/api\/v2\/(apps|layers)(\/[^/]+)?$/, bytes: largestBody }],
      routes: (app) => {
        appRoutes(ctx, publicUrl)(app);
        layerRoutes(ctx, publicUrl)(app);
      },
      background: [
        {
          name: "removing deleted apps",
          interval: removalInterval,
          run: (signal) => removeAllDeleted(ctx, signal),
        },
      ],
    };
  },
};

/** @module Serves revisions of apps: instances, scaling, hostnames. */
import type { Kysely } from "kysely";
import { Gauge } from "prom-client";
import { appsService } from "../apps/index.ts";
import { domainsService } from "../domains/index.ts";
import { routeDirectories } from "../kernel/routes.ts";
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { revisionsService } from "../revisions/index.ts";
import { workloads as workloadsService } from "../workloads/index.ts";
import { InstanceCheckpoints } from "./checkpoints/checkpoints.ts";
import { RevisionContents } from "./contents.ts";
import { Crons } from "./cron/crons.ts";
import { cronsAllowed } from "./cron/forbidden.ts";
import { cronRoutes } from "./cron/routes.ts";
import { CronStore } from "./cron/store.ts";
import type { OrgTables } from "../orgs/tables.ts";
import { branchLabel, branchName, productionLabel, revisionLabel } from "./hosts.ts";
import { crons as cronTables, scaling as scalingTable, up } from "./migrations.ts";
import { Resolver } from "./resolver.ts";
import { scalingRoutes } from "./scaling/routes.ts";
import { ScalingSettings } from "./scaling/settings.ts";
import { Serving } from "./serving.ts";

export type { RevisionContent, RevisionContents } from "./contents.ts";
export type { Target } from "./resolver.ts";
export type { Serving } from "./serving.ts";

/** What the slice that deploys uses. */
export interface ServingService {
  readonly serving: Serving;
  readonly contents: RevisionContents;
  readonly orgSlug: (orgId: string) => Promise<string>;
}

export const servingService = serviceKey<ServingService>("serving");

/** Milliseconds. */
const scaleInterval = 1_000;
const settleInterval = 2_000;
const pruneInterval = 3600_000;
/** See `RevisionContents.pruneInTime`. */
const lookInterval = 5_000;

export const servingSlice: Slice = {
  name: "serving",
  migrations: {
    "2026-12-05-serving": { up },
    "2026-12-06-scaling": { up: scalingTable },
    "2026-12-07-crons": { up: cronTables },
  },
  async setup({ db, config, gateway, node, sealer, log, metrics, services }) {
    const [apps, revisions] = [services.use(appsService), services.use(revisionsService)];
    const workloads = services.use(workloadsService);
    const contents = new RevisionContents({ db, sealer, node, log });
    const domains = services.use(domainsService);
    const resolver = new Resolver(apps, revisions, domains);
    const checkpoints = new InstanceCheckpoints({ config, node, workloads, log });
    const orgSlug = async (id: string) => {
      const orgs: Kysely<OrgTables> = db;
      return (await orgs.selectFrom("orgs").select("slug").where("id", "=", id).executeTakeFirstOrThrow()).slug;
    };
    const scaling = new ScalingSettings(db, config.serving);
    await scaling.refresh();
    const serving = new Serving({
      config,
      node,
      workloads,
      apps,
      revisions,
      contents,
      checkpoints,
      resolver,
      scaling,
      orgSlug,
      log,
    });
    const cronStore = new CronStore(db, node.id);
    const { region } = config.sandbox;
    const crons = new Crons({
      store: cronStore,
      inInstance: ({ appId, revisionId }, work, signal) => serving.inProduction(appId, revisionId, work, signal),
      timeout: config.serving.cronTimeout * 1000,
      print: ({ orgId, appId, revisionId }, level, message) =>
        revisions.runtimeLogs([{ orgId, appId, revisionId, region, level, message }]),
      log,
    });
    serving.onListening = ({ app, revision, timeline }, instance) => {
      if (timeline !== "production") return;
      const line = { orgId: app.org_id, appId: app.id, revisionId: revision.id, region };
      void crons.discover(
        revision.id,
        instance,
        (level, message) => revisions.runtimeLogs([{ ...line, level, message }]),
        cronsAllowed(revision),
      );
    };
    workloads.own("instance", serving);
    services.use(routeDirectories).add(serving);
    apps.onDelete((app) => serving.stopApp(app.id));
    apps.onChange(() => resolver.forget());
    revisions.onRoute(() => serving.routed());
    domains.onChange(() => resolver.forget());
    revisions.onDelete(async ({ id }) => {
      await serving.stop(id);
      await checkpoints.remove(id);
      await contents.remove(id);
    });
    services.provide(servingService, { serving, contents, orgSlug });
    revisions.onActivate(async (revision, name) => serving.activate(revision, name, await orgSlug(revision.org_id)));
    revisions.useDomains(async (app, { slug, partition }) => {
      if (gateway === undefined) return [];
      const org = await orgSlug(app.org_id);
      const [part = ""] = Object.values(partition);
      if (slug === "production")
        return [
          gateway.addressOf(productionLabel(app.slug, org)),
          ...(await domains.servedBy(app.id)).map((domain) => gateway.addressOf(`${domain}.`)),
        ];
      if (slug === "preview") return [gateway.addressOf(revisionLabel(app.slug, org, part))];
      return [gateway.addressOf(branchLabel(app.slug, org, branchName(part)))];
    });
    for (const name of ["instances", "waiting"] as const)
      new Gauge({
        name: `caisson_app_${name}`,
        help: name === "instances" ? "Instances of apps." : "Requests that wait for an instance of an app.",
        registers: [metrics],
        collect() {
          this.set(serving.counts()[name]);
        },
      });
    new Gauge({
      name: "caisson_app_checkpoints",
      help: "Checkpoints of instances on the node.",
      registers: [metrics],
      async collect() {
        this.set((await node.checkpoints.list()).length);
      },
    });
    return {
      routes: (app) => {
        scalingRoutes(apps, scaling)(app);
        cronRoutes(apps, cronStore)(app);
      },
      background: [
        { name: "scaling apps", interval: scaleInterval, run: () => serving.scale() },
        { name: "running cron jobs", interval: scaleInterval, run: () => crons.tick() },
        { name: "keeping instances", interval: settleInterval, run: () => serving.keep() },
        { name: "following timelines", interval: settleInterval, run: () => serving.settle() },
        { name: "removing files of apps", interval: lookInterval, run: () => contents.pruneInTime() },
        {
          name: "removing checkpoints of apps",
          interval: pruneInterval,
          run: () => checkpoints.prune(async (id) => (await contents.find(id)) !== undefined),
        },
      ],
      stop: async () => {
        await crons.close();
        await Promise.all([checkpoints.close(), serving.close()]);
      },
    };
  },
};

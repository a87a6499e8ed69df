/** @module Deploys: collects the files of a revision, makes its image, and has it served when it is healthy. */
import { Gauge } from "prom-client";
import type { Slice } from "../kernel/slice.ts";
import { appsService } from "../apps/index.ts";
import { revisionsService } from "../revisions/index.ts";
import { sandboxesService } from "../sandboxes/index.ts";
import { secretStore } from "../secrets/index.ts";
import { servingService } from "../serving/index.ts";
import { workloads as workloadsService, type WorkloadOwner } from "../workloads/index.ts";
import { BuildCaches, up } from "./build/cache.ts";
import { Deployments } from "./deployments.ts";
import { largestBody } from "./from-assets.ts";
import { deployPath, deployRoutes } from "./routes.ts";

/** Machines of builds end with the process that started them; the build begins again. */
const builds: WorkloadOwner = {
  wanted: () => Promise.resolve([]),
  adopted() {},
  settle: () => Promise.resolve(),
  // The command that runs in it fails.
  exited() {},
};

export const deploySlice: Slice = {
  name: "deploy",
  migrations: { "2026-12-08-build-caches": { up } },
  setup({ db, config, node, log, metrics, services }) {
    const [apps, revisions] = [services.use(appsService), services.use(revisionsService)];
    const { serving, contents, orgSlug } = services.use(servingService);
    const workloads = services.use(workloadsService);
    const { buildCacheBytes: mostBytes, buildCacheBytesPerOrganisation: mostOfOrganisation } = config.serving;
    const caches = new BuildCaches({ db, node, mostBytes, mostOfOrganisation, log });
    apps.onDelete((app) => caches.remove(app.id));
    const build = { config, node, workloads, revisions, caches, log };
    workloads.own("build", builds);
    const deployments = new Deployments({ config, node, apps, revisions, contents, serving, build, orgSlug, log });
    contents.keepAlso({ contents: () => caches.needed(), builds: () => deployments.ids });
    revisions.onCancel((id) => deployments.cancel(id));
    new Gauge({
      name: "caisson_deployments",
      help: "Deployments in progress.",
      registers: [metrics],
      collect() {
        this.set(deployments.running);
      },
    });
    return {
      largeBodies: [{ path: deployPath, bytes: largestBody(config.serving.deployBytes) }],
      routes: deployRoutes({
        config,
        node,
        apps,
        revisions,
        contents,
        deployments,
        sandboxes: services.use(sandboxesService),
        secrets: services.use(secretStore),
      }),
      start: () => deployments.resume(),
      stop: () => deployments.close(),
    };
  },
};

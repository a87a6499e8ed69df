/** @module Makes ports of sandboxes public under names of the gateway. */
import { rpcMethods } from "@caisson/api";
import { Counter } from "prom-client";
import { certificatesService } from "../certificates/index.ts";
import { authenticator } from "../kernel/http/context.ts";
import { RouteDirectories, routeDirectories } from "../kernel/routes.ts";
import type { Slice } from "../kernel/slice.ts";
import { method, methodTable } from "../rpc/index.ts";
import { sandboxesService } from "../sandboxes/index.ts";
import { usageService } from "../usage/index.ts";
import { workloads as workloadsService } from "../workloads/index.ts";
import { up, visits as visitsTables } from "./migrations.ts";
import { Access } from "./access.ts";
import { ownPreviewRoutes } from "./own-routes.ts";
import { Previews } from "./previews.ts";
import { previewRoutes } from "./routes.ts";
import { PreviewStore } from "./store.ts";
import { VisitLog } from "./visit-log.ts";
import { VisitStore } from "./visit-store.ts";

const day = 24 * 3600_000;
/** Milliseconds for which visitors of a name learn that its sandbox has ended. */
const endedNamesKept = 7 * day;

export const previewsSlice: Slice = {
  name: "previews",
  migrations: { "003-previews": { up }, "2026-12-04-preview-visits": { up: visitsTables } },
  setup({ db, config, gateway, metrics, sealer, services, publicUrl }) {
    const workloads = services.use(workloadsService);
    const usage = services.use(usageService);
    const { namesPerSandbox, visitsPerMinute, visitsPerOrganisation, visitRetentionDays } = config.gateway;
    const store = new PreviewStore(db);
    const visitStore = new VisitStore(db);
    const visitLog = new VisitLog(visitStore, visitsPerMinute);
    const access = new Access(sealer, services.use(authenticator));
    const previews = new Previews({ store, gateway, namesPerSandbox, access });
    const sandboxes = services.use(sandboxesService);
    let first = true;
    workloads.register(previews);
    const routes = new RouteDirectories(previews);
    services.provide(routeDirectories, routes);
    services.use(methodTable).register({
      // Binds a reserved name to a port or to a Deno process of this sandbox (wire contract 4.7).
      exposeHttp: method(rpcMethods.exposeHttp, ({ domain, port, pid }, { sandbox }) =>
        previews.bind(sandbox.id, domain, port === undefined ? { pid: pid! } : { port }),
      ),
    });
    const visits = new Counter({
      name: "caisson_preview_visits_total",
      help: "Requests and WebSockets from outside that reached exposed ports.",
      labelNames: ["kind", "status"],
      registers: [metrics],
    });
    gateway?.onVisit((visit) => {
      const { workloadId, kind, status, bytesIn, bytesOut } = visit;
      visits.inc({ kind, status: status < 200 ? status : `${Math.floor(status / 100)}xx` });
      const orgId = workloads.orgOf(workloadId);
      if (orgId === undefined) return;
      usage.countTraffic({ workloadId, orgId, bytesIn, bytesOut });
      visitLog.record(orgId, visit);
    });
    return {
      routes: (app) => {
        previewRoutes({ sandboxes, previews })(app);
        ownPreviewRoutes({ sandboxes, previews, log: visitLog, store: visitStore, publicUrl })(app);
      },
      background: [
        { name: "writing visits of exposed ports", interval: 1000, run: () => visitLog.flush() },
        {
          name: "removing old visits of exposed ports",
          interval: 60_000,
          run: async (signal) => {
            await store.forgetEnded(Date.now() - endedNamesKept, signal);
            await visitStore.removeBefore(Date.now() - visitRetentionDays * day, signal);
            const orgs = first ? await db.selectFrom("orgs").select("id").execute() : [];
            first = false;
            await visitStore.removeBeyond(
              visitsPerOrganisation,
              orgs.map((org) => String(org.id)),
              signal,
            );
          },
        },
      ],
      listen: () => gateway?.listen(routes, services.use(certificatesService)) ?? Promise.resolve(),
      start: async () => {
        previews.open();
        routes.open();
      },
      stop: async () => {
        await gateway?.close();
        await visitLog.flush();
      },
    };
  },
};

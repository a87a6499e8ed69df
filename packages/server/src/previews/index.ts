/** @module Makes ports of sandboxes public under names of the gateway. */
import { rpcMethods } from "@caisson/api";
import { Counter } from "prom-client";
import { RouteDirectories, routeDirectories } from "../kernel/routes.ts";
import type { Slice } from "../kernel/slice.ts";
import { method, methodTable } from "../rpc/index.ts";
import { sandboxesService } from "../sandboxes/index.ts";
import { usageService } from "../usage/index.ts";
import { workloads as workloadsService } from "../workloads/index.ts";
import { up } from "./migrations.ts";
import { Previews } from "./previews.ts";
import { previewRoutes } from "./routes.ts";
import { PreviewStore } from "./store.ts";

export const previewsSlice: Slice = {
  name: "previews",
  migrations: { "003-previews": { up } },
  setup({ db, config, gateway, metrics, services }) {
    const workloads = services.use(workloadsService);
    const usage = services.use(usageService);
    const { namesPerSandbox } = config.gateway;
    const previews = new Previews({ store: new PreviewStore(db), gateway, namesPerSandbox });
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
    gateway?.onVisit(({ workloadId, kind, status, bytesIn, bytesOut }) => {
      visits.inc({ kind, status: status < 200 ? status : `${Math.floor(status / 100)}xx` });
      const orgId = workloads.orgOf(workloadId);
      if (orgId !== undefined) usage.countTraffic({ workloadId, orgId, bytesIn, bytesOut });
    });
    return {
      routes: previewRoutes({ sandboxes: services.use(sandboxesService), previews }),
      listen: () => gateway?.listen(routes) ?? Promise.resolve(),
      start: async () => previews.open(),
      stop: () => gateway?.close() ?? Promise.resolve(),
    };
  },
};

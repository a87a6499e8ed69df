/** @module For operators and tools: health and metrics. */
import type { Slice } from "../kernel/slice.ts";
import { servingService } from "../serving/index.ts";
import { volumesService } from "../volumes/index.ts";
import { workloads } from "../workloads/index.ts";
import { healthRoutes } from "./health.ts";
import { registerMetrics } from "./metrics.ts";

export const operationsSlice: Slice = {
  name: "operations",
  setup({ config, db, node, metrics, services }) {
    const volumes = services.use(volumesService);
    registerMetrics(metrics, node, services.use(workloads));
    const { metricsToken } = config.api;
    const { contents } = services.use(servingService);
    const damaged = () => ({ ...volumes.damaged, revisions: contents.damaged });
    return { publicRoutes: healthRoutes({ db, node, metrics, metricsToken, damaged }) };
  },
};

/** @module For operators and tools: health and metrics. */
import type { Slice } from "../kernel/slice.ts";
import { workloads } from "../workloads/index.ts";
import { healthRoutes } from "./health.ts";
import { registerMetrics } from "./metrics.ts";

export const operationsSlice: Slice = {
  name: "operations",
  setup({ config, db, node, metrics, services }) {
    registerMetrics(metrics, node, services.use(workloads));
    return { publicRoutes: healthRoutes({ db, node, metrics, metricsToken: config.api.metricsToken }) };
  },
};

/** @module What workloads use: processor, memory, disk, traffic. */
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { workloads as workloadsService } from "../workloads/index.ts";
import { UsageMeter } from "./meter.ts";
import { months } from "./migrations.ts";

export type { UsageMeter } from "./meter.ts";
export { sumUpUsage } from "./store.ts";

export const usageService = serviceKey<UsageMeter>("usage");

/** Milliseconds. */
const usageInterval = 30_000;

export const usageSlice: Slice = {
  name: "usage",
  migrations: { "2026-12-02-usage-months": { up: months } },
  setup({ db, node, log, services }) {
    const workloads = services.use(workloadsService);
    const meter = new UsageMeter({ db, node, workloads, log });
    workloads.register(meter);
    services.provide(usageService, meter);
    return {
      background: [{ name: "measuring usage", interval: usageInterval, run: () => meter.sampleAll() }],
      stop: () => meter.flush(),
    };
  },
};

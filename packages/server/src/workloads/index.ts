/** @module Machines with what belongs to them. */
import { serviceKey } from "../kernel/services.ts";
import { Turns, turns } from "../kernel/turns.ts";
import type { Slice } from "../kernel/slice.ts";
import { Workloads } from "./workloads.ts";

export { machineMemory } from "./memory.ts";
export type { AcquireOptions, Resource } from "./resource.ts";
export type { DiskRequest, Workload, WorkloadKind, WorkloadPlan } from "./workload.ts";
export type { WantedWorkload, WorkloadOwner, Workloads } from "./workloads.ts";

export const workloads = serviceKey<Workloads>("workloads");

export const workloadsSlice: Slice = {
  name: "workloads",
  setup({ node, log, services }) {
    const shared = new Turns();
    services.provide(turns, shared);
    const service = new Workloads({ node, log, turns: shared });
    services.provide(workloads, service);
    return { start: (signal) => service.reconcile(signal) };
  },
};

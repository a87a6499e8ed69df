export type { AcquireOptions, Resource } from "./resource.ts";
export type { DiskRequest, Workload, WorkloadKind, WorkloadPlan } from "./workload.ts";

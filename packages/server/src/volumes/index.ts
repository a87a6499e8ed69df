/** @module Volumes and snapshots: rows, rules and background work. The images themselves are the business of a `LayerStore`. */
export type { AuditReport, Fault } from "./audit.ts";
export type { Disks } from "./leases.ts";
export { openVolumeOperator, type DeletedVolume, type VolumeOperator } from "./operator.ts";
export { Volumes, type VolumesOptions } from "./volumes.ts";

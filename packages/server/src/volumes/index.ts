/** @module Volumes and snapshots: rows, rules and background work. The images themselves are the business of a `LayerStore`. */
export { auditVolumes, type AuditReport, type Fault } from "./audit.ts";
export type { DiskHolder, VolumeContext } from "./context.ts";
export { restoreVolume } from "./delete.ts";
export { Janitor } from "./janitor.ts";
export { KeyedLock } from "./keyed-lock.ts";
export { Volumes, type VolumesOptions } from "./volumes.ts";

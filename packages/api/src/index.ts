/**
 * @module The wire contract as schemas: requests, results and error codes, REST and RPC. Types of SDKs, CLI, dashboard and tests come
 * from here. Depends on zod alone.
 */
export { check, type Checked } from "./check.ts";
export * from "./errors.ts";
export * from "./rest/app-config.ts";
export * from "./rest/apps.ts";
export * from "./rest/audit.ts";
export * from "./rest/create-config.ts";
export * from "./rest/deploy.ts";
export * from "./rest/domains.ts";
export * from "./rest/env-vars.ts";
export * from "./rest/error.ts";
export * from "./rest/health.ts";
export * from "./rest/layers.ts";
export * from "./rest/previews.ts";
export * from "./rest/progress.ts";
export * from "./rest/revisions.ts";
export * from "./rest/runtime-logs.ts";
export * from "./rest/sandboxes.ts";
export * from "./rest/serving.ts";
export * from "./rest/ssh-keys.ts";
export * from "./rest/terminals.ts";
export * from "./rest/volumes.ts";
export * from "./rpc/common.ts";
export { openOptions } from "./rpc/file-handles.ts";
export { directoryEntry, fileInfo, type FileInfo } from "./rpc/files.ts";
export { walkEntry } from "./rpc/file-walks.ts";
export * from "./rpc/frames.ts";
export * from "./rpc/methods.ts";
export { fetchParams } from "./rpc/others.ts";
export { spawnOptions, type Spawned, type SpawnOptions } from "./rpc/processes.ts";

/**
 * @module What Linux offers and Node does not: locks of the kernel, jails, files that are written whole, and what /proc says about
 * processes and memory.
 */
export { takeFileLock, withFileLock, type FileLock } from "./file-lock.ts";
export { createFile, replaceFile, type WholeFileOptions } from "./whole-file.ts";
export { jailBase, jailEnd, type JailBase } from "./jail.ts";
export { availableMebibytes } from "./memory.ts";
export {
  identifyProcess,
  isAlive,
  killProcess,
  killWithChildren,
  processCpuMicros,
  processIds,
  processMemoryBytes,
  readBootId,
  type ProcessIdentity,
} from "./process.ts";
export { seccompFilter, type FilterOptions } from "./seccomp/filter.ts";

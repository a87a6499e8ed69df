/** @module What Linux offers and Node does not: locks of the kernel, files that are written whole, and what /proc says about processes and memory. */
export { takeFileLock, withFileLock, type FileLock } from "./file-lock.ts";
export { createFile, replaceFile, type WholeFileOptions } from "./whole-file.ts";
export { availableMebibytes } from "./memory.ts";
export {
  identifyProcess,
  isAlive,
  killProcess,
  processCpuMicros,
  processMemoryBytes,
  readBootId,
  type ProcessIdentity,
} from "./process.ts";

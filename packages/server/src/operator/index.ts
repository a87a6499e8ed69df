/** @module Commands for operators, on the database of an installation. */
export { openAccountOperator } from "./accounts.ts";
export { openVolumeOperator } from "./volumes.ts";

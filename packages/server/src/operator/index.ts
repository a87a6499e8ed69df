/** @module Commands for operators, on the database of an installation. */
export { databaseFile } from "../kernel/database/open.ts";
export { openAccountOperator } from "./accounts.ts";
export { openVolumeOperator } from "./volumes.ts";

/** @module What fuzz targets share: the loop, seeds, and inputs made from seeds. */
export * from "./bytes.ts";
export * from "./http2.ts";
export * from "./seeds.ts";
export { fuzz, type FuzzReport, type FuzzTarget } from "./target.ts";
export * from "./values.ts";

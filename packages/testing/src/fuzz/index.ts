/** @module What fuzz targets share: the loop, seeds, and inputs made from seeds. */
export * from "./bytes.ts";
export { connectTo, Connections } from "./connections.ts";
export * from "./http1-peer.ts";
export * from "./http1-reader.ts";
export * from "./http2.ts";
export * from "./seeds.ts";
export { fuzz, type FuzzReport, type FuzzTarget } from "./target.ts";
export * from "./values.ts";

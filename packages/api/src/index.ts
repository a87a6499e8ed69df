/** @module The wire contract as schemas: requests, results and error codes, REST and RPC. Types of SDKs, CLI, dashboard and tests come from here. */
export * from "./errors.ts";

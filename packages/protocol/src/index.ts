/** @module Definitions that every package shares: errors, identifiers, the agent contract, node and egress interfaces. No I/O. */
export * from "./agent.ts";
export * from "./config/index.ts";
export * from "./egress.ts";
export * from "./errors.ts";
export * from "./files.ts";
export * from "./gateway.ts";
export * from "./ids.ts";
export * from "./layers.ts";
export * from "./node.ts";
export * from "./operation-error.ts";
export * as agentContract from "./gen/agent_pb.js";

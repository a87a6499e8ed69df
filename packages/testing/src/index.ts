/** @module What the tests and benchmarks share: the real platform as a child process, a bare wire client, counters for leaks. No mocks. */
export * from "./counters.ts";
export * from "./deadline.ts";
export * from "./env-file.ts";
export * from "./jailed-agent.ts";
export * from "./platform-process.ts";
export * from "./process-table.ts";
export * from "./shared-platform.ts";
export * from "./wire-client.ts";
export { checkNotification, checkReply } from "./wire-contract.ts";
export { buildAgent, HostNode } from "./host-node.ts";
export * from "./postgres.ts";
export { goTool } from "./go-tool.ts";
export { autobahn, goWorse, type Autobahn } from "./autobahn.ts";
export { namedBridge } from "./named-bridge.ts";

/** @module The engine of a host: boots, clones, pools, adopts and ends microVMs, and talks to the agent inside each. */
export { connectAgent, type AgentClient } from "./agent/client.ts";
export type { VmDriver } from "./driver/driver.ts";
export { createQemuDriver } from "./driver/qemu/driver.ts";
export { createNode } from "./node.ts";
export type { ImageManifest, ImageSource, NodeOptions } from "./options.ts";

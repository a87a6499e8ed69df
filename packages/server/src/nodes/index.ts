/** @module The nodes that share this database. */
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { up } from "./migrations.ts";
import { Nodes } from "./nodes.ts";

export const nodesService = serviceKey<Nodes>("nodes");

/** Milliseconds. */
const seenInterval = 30_000;

export const nodesSlice: Slice = {
  name: "nodes",
  migrations: { "2026-12-01-nodes": { up } },
  setup({ db, node, config, services }) {
    const nodes = new Nodes({ db, id: node.id, region: config.sandbox.region });
    services.provide(nodesService, nodes);
    return {
      start: () => nodes.register(),
      background: [{ name: "reporting this node as running", interval: seenInterval, run: () => nodes.seen() }],
    };
  },
};

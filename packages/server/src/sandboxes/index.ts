/** @module Sandboxes: workloads that an organisation's clients create, use over connections, and end. */
import type { Slice } from "../kernel/slice.ts";
import { serviceKey } from "../kernel/services.ts";
import { nodesService } from "../nodes/index.ts";
import { secretStore } from "../secrets/index.ts";
import { volumesService } from "../volumes/index.ts";
import { workloads as workloadsService } from "../workloads/index.ts";
import { bounds, network, nodes as nodeColumn } from "./migrations.ts";
import { removeEnded } from "./retention.ts";
import { sandboxRoutes } from "./routes.ts";
import { Sandboxes } from "./sandboxes.ts";
import { SandboxStore } from "./store.ts";

export { decodeConfigHeader } from "./config-header.ts";
export { checkCreateConfig, type CreateRequest } from "./create-request.ts";
export { LiveSandbox, type SandboxConnection } from "./live-sandbox.ts";
export type { Sandboxes } from "./sandboxes.ts";
export type { SandboxTables } from "./tables.ts";

export const sandboxesService = serviceKey<Sandboxes>("sandboxes");

/** Milliseconds between looks for sandboxes whose time is over. */
const sweepInterval = 500;

/** Milliseconds between comparisons of rows with machines. */
const reconcileInterval = 10_000;

/** Milliseconds. */
const retentionInterval = 60_000;
const day = 24 * 3600_000;

export const sandboxesSlice: Slice = {
  name: "sandboxes",
  migrations: {
    "2026-12-01-sandbox-nodes": { up: nodeColumn },
    "2026-12-02-sandbox-bounds": { up: bounds },
    "2026-12-03-sandbox-network": { up: network },
  },
  setup({ db, config, lockRows, log, services, publicUrl }) {
    const nodes = services.use(nodesService);
    const workloads = services.use(workloadsService);
    const store = new SandboxStore(db, { nodeId: nodes.id, lockRows });
    nodes.onFirstNode((nodeId) => store.claim(nodeId));
    const sandboxes = new Sandboxes({
      config,
      nodes,
      workloads,
      secrets: services.use(secretStore),
      volumes: services.use(volumesService),
      store,
      log,
    });
    workloads.own("sandbox", sandboxes);
    services.provide(sandboxesService, sandboxes);
    return {
      routes: sandboxRoutes({ sandboxes, store, publicUrl }),
      background: [
        { name: "ending overdue sandboxes", interval: sweepInterval, run: () => sandboxes.sweeps.endOverdue() },
        {
          name: "ending sandboxes with overdue rows",
          interval: sweepInterval,
          run: () => sandboxes.sweeps.endOverdueRows(),
        },
        {
          name: "comparing sandboxes with machines",
          interval: reconcileInterval,
          run: () => sandboxes.sweeps.reconcile(),
        },
        {
          name: "removing ended sandboxes from the database",
          interval: retentionInterval,
          async run(signal) {
            const endedBefore = Date.now() - config.sandbox.retentionDays * day;
            const removed = await removeEnded(
              db,
              { endedBefore, most: config.limits.endedSandboxes, lockRows },
              signal,
            );
            if (removed > 0) log.info({ removed }, "ended sandboxes were removed from the database");
          },
        },
      ],
      stop: (machines) => sandboxes.close(machines),
    };
  },
};

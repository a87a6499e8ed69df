/** @module Volumes and snapshots: database rows, rules and background work. The images are on nodes. */
import { KeyedLock } from "../kernel/keyed-lock.ts";
import type { VolumeContext } from "../layers/context.ts";
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { nodesService } from "../nodes/index.ts";
import { workloads as workloadsService } from "../workloads/index.ts";
import {
  damage as damageTables,
  holders,
  layerBytes,
  layerOrgs,
  nodes as nodeColumns,
  volumes as volumeTables,
} from "./migrations.ts";
import { claimRows } from "./recover.ts";
import { volumeRoutes } from "./routes.ts";
import { Volumes } from "./volumes.ts";

export type { CheckReport, Fault } from "./check.ts";

export const volumesService = serviceKey<Pick<Volumes, "damaged" | "writableBytes">>("volumes");

/** Milliseconds between two passes of the background work. */
const interval = 5_000;

export const volumesSlice: Slice = {
  name: "volumes",
  migrations: {
    "002-volumes": { up: volumeTables },
    "2026-12-01-volume-nodes": { up: nodeColumns },
    "2026-12-02-damage": { up: damageTables },
    "2026-12-02-layer-holders": { up: holders },
    "2026-12-02-layer-1-orgs": { up: layerOrgs },
    "2026-12-02-layer-2-bytes": { up: layerBytes },
  },
  setup({ db, config, lockRows, log, node, services, publicUrl }) {
    const nodes = services.use(nodesService);
    nodes.onFirstNode((nodeId) => claimRows(db, nodeId));
    const workloads = services.use(workloadsService);
    let baseImage = "";
    const ctx: VolumeContext = {
      db,
      lockRows,
      nodeId: nodes.id,
      layers: node.layers,
      machines: node.machines,
      config,
      baseImage: () => baseImage,
      running: (id) => workloads.get(id) !== undefined || workloads.isLeft(id),
      ending: (id) => workloads.ending(id),
      locks: new KeyedLock(),
      log,
    };
    const { pool, sandbox } = config;
    const volumes = new Volumes({
      ctx,
      machines: node.machines,
      prepared: pool.size === 0 ? 0 : pool.standing,
      preparedMemory: sandbox.memoryDefault,
    });
    workloads.register(volumes);
    services.provide(volumesService, volumes);
    return {
      routes: volumeRoutes({ volumes, config, publicUrl }),
      background: [{ name: "background work on volumes", interval, run: (signal) => volumes.careFor(signal) }],
      async start() {
        ({ baseImage } = await node.status());
        await volumes.start();
      },
      stop: () => volumes.close(),
    };
  },
};

/** @module Connections of clients to sandboxes: JSON-RPC over WebSocket. */
import { readFile } from "node:fs/promises";
import { Gauge, Histogram } from "prom-client";
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { sandboxesService } from "../sandboxes/index.ts";
import type { Methods } from "./call.ts";
import { turns } from "../kernel/turns.ts";
import { MemoryLedger } from "./memory/ledger.ts";
import { methods } from "./methods/index.ts";
import { describeUpgrades } from "./routes.ts";
import { sandboxUpgrades } from "./upgrades.ts";

export { method, type Call, type Methods } from "./call.ts";
export type { MemoryLedger } from "./memory/ledger.ts";
export { spawn } from "./spawn.ts";

/** Methods by name. Other slices register theirs in their setup. */
export class MethodTable {
  #methods: Methods = methods;

  get methods(): Methods {
    return this.#methods;
  }

  /** @throws Error when a method of that name exists already */
  register(added: Methods): void {
    for (const name of Object.keys(added))
      if (Object.hasOwn(this.#methods, name)) throw new Error(`There are two methods ${name}.`);
    this.#methods = { ...this.#methods, ...added };
  }
}

/** Budgets for the memory that clients can make the server hold. Terminals and other slices take from the same budgets. */
export const memoryLedger = serviceKey<MemoryLedger>("memory");

export const methodTable = serviceKey<MethodTable>("methods");

export const rpcSlice: Slice = {
  name: "rpc",
  async setup({ config, metrics, services }) {
    const sandboxes = services.use(sandboxesService);
    const table = new MethodTable();
    services.provide(methodTable, table);
    const extraCa = await Promise.all(config.egress.extraCa.map((path) => readFile(path, "utf8")));
    const creates = new Histogram({
      name: "caisson_sandbox_create_seconds",
      help: "Time from a create request to a running sandbox.",
      labelNames: ["outcome"] as const,
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [metrics],
    });
    const calls = new Histogram({
      name: "caisson_rpc_seconds",
      help: "Time from a JSON-RPC request to its reply.",
      labelNames: ["method", "outcome"] as const,
      buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60],
      registers: [metrics],
    });
    new Gauge({
      name: "caisson_connections",
      help: "WebSocket connections to sandboxes.",
      registers: [metrics],
      collect() {
        this.set(sandboxes.live().reduce((sum, { connections }) => sum + connections.size, 0));
      },
    });
    const ledger = new MemoryLedger(config.limits);
    services.provide(memoryLedger, ledger);
    new Gauge({
      name: "caisson_client_memory_bytes",
      help: "Memory that the server holds or keeps free for calls, streams and contents of clients.",
      labelNames: ["kind"] as const,
      registers: [metrics],
      collect() {
        for (const [kind, bytes] of Object.entries(ledger.used())) this.set({ kind }, bytes);
      },
    });
    const upgrades = sandboxUpgrades({
      ledger,
      turns: services.use(turns),
      config,
      sandboxes,
      methods: () => table.methods,
      extraCa,
      creates,
      observe: (method, outcome, seconds) => calls.observe({ method, outcome }, seconds),
    });
    return { upgrades, routes: describeUpgrades };
  },
};

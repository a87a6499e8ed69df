/** @module Terminals in sandboxes that live on when a connection drops. */
import { Gauge } from "prom-client";
import type { Slice } from "../kernel/slice.ts";
import { memoryLedger } from "../rpc/index.ts";
import { sandboxesService } from "../sandboxes/index.ts";
import { attachRoute } from "./attach.ts";
import { terminalRoutes } from "./routes.ts";
import { Terminals } from "./terminals.ts";

export const terminalsSlice: Slice = {
  name: "terminals",
  setup({ services, metrics, log }) {
    const sandboxes = services.use(sandboxesService);
    const ledger = services.use(memoryLedger);
    const terminals = new Terminals(ledger, log);
    new Gauge({
      name: "caisson_terminals",
      help: "Terminals, and the WebSockets that view them.",
      labelNames: ["kind"] as const,
      registers: [metrics],
      collect() {
        const counts = terminals.counts();
        this.set({ kind: "terminal" }, counts.terminals);
        this.set({ kind: "viewer" }, counts.viewers);
      },
    });
    return {
      routes: terminalRoutes(sandboxes, terminals),
      upgrades: [attachRoute(sandboxes, terminals, ledger)],
      stop: async () => terminals.close(),
    };
  },
};

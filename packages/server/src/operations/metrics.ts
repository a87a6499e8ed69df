/** What Prometheus reads. Names follow its conventions: base units, `_total` for counters. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { SandboxNode } from "@caisson/protocol";
import type { Sandboxes } from "./lifecycle/sandboxes.ts";

export class Metrics {
  readonly registry = new Registry();
  readonly requests = new Counter({
    name: "caisson_http_requests_total",
    help: "HTTP requests.",
    labelNames: ["method", "status"],
    registers: [this.registry],
  });
  readonly creates = new Histogram({
    name: "caisson_sandbox_create_seconds",
    help: "Time from a create request to a running sandbox.",
    labelNames: ["outcome"],
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.registry],
  });
  readonly calls = new Histogram({
    name: "caisson_rpc_seconds",
    help: "Time from a JSON-RPC request to its reply.",
    labelNames: ["method", "outcome"],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60],
    registers: [this.registry],
  });
  readonly egress = new Counter({
    name: "caisson_egress_events_total",
    help: "Connections and requests out of sandboxes.",
    labelNames: ["kind", "verdict", "rule"],
    registers: [this.registry],
  });

  readonly visits = new Counter({
    name: "caisson_preview_visits_total",
    help: "Requests and WebSockets from outside that reached exposed ports.",
    labelNames: ["kind", "status"],
    registers: [this.registry],
  });

  constructor(sandboxes: Sandboxes, node: SandboxNode) {
    collectDefaultMetrics({ register: this.registry });
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers: [this.registry],
        collect() {
          this.set(read());
        },
      });
    gauge("caisson_sandboxes", "Sandboxes that run here.", () => sandboxes.live().length);
    gauge("caisson_connections", "WebSocket connections to sandboxes.", () =>
      sandboxes.live().reduce((sum, { connections }) => sum + connections.size, 0),
    );
    gauge("caisson_pool_machines", "Restored machines that wait to be used.", () => node.status().pooled);
    gauge("caisson_pool_standing", "Machines that wait on a snapshot as root.", () => node.status().standing);
    gauge("caisson_pool_target", "How many machines the pool wants to hold.", () => node.status().poolTarget);
  }

  observeCall(method: string, outcome: "ok" | "error" | "fault", seconds: number): void {
    this.calls.observe({ method, outcome }, seconds);
  }
}

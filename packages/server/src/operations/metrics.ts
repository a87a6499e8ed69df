/** What Prometheus reads of process and node. Names follow its conventions: base units, `_total` for counters. */
import type { NodeStatus, SandboxNode } from "@caisson/protocol";
import { collectDefaultMetrics, Counter, Gauge, type Registry } from "prom-client";
import type { Workloads } from "../workloads/index.ts";

export function registerMetrics(registry: Registry, node: SandboxNode, workloads: Workloads): void {
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string, read: (status: NodeStatus) => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        this.set(read(await node.status()));
      },
    });
  const counter = (name: string, help: string, label: string, read: (status: NodeStatus) => Record<string, number>) =>
    new Counter({
      name,
      help,
      labelNames: [label],
      registers: [registry],
      async collect() {
        const counts = read(await node.status());
        this.reset();
        for (const [value, count] of Object.entries(counts)) this.inc({ [label]: value }, count);
      },
    });
  new Gauge({
    name: "caisson_sandboxes",
    help: "Sandboxes that run here.",
    registers: [registry],
    collect() {
      this.set(workloads.live().filter(({ kind }) => kind === "sandbox").length);
    },
  });
  gauge("caisson_pool_machines", "Restored machines that wait to be used.", ({ pooled }) => pooled);
  gauge("caisson_pool_standing", "Machines that were prepared on a snapshot as root.", ({ prepared }) => prepared);
  gauge("caisson_pool_target", "How many machines the pool wants to hold.", ({ poolTarget }) => poolTarget);
  counter(
    "caisson_machines_started_total",
    "Machines handed out, by how they were made ready.",
    "source",
    (status) => ({
      ...status.started,
    }),
  );
  counter("caisson_machines_ended_total", "Machines that ended, by reason.", "reason", (status) => ({
    ...status.ended,
  }));
}

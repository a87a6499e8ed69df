/** `/healthz` and `/metrics`. */
import { healthSchema } from "@caisson/api";
import type { SandboxNode } from "@caisson/protocol";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import { sql } from "kysely";
import type { Registry } from "prom-client";
import type { AnyDatabase } from "../kernel/database/open.ts";
import type { HttpVariables } from "../kernel/http/context.ts";

const health = createRoute({
  method: "get",
  path: "/healthz",
  summary: "Health of server, database and node",
  security: [],
  responses: {
    200: { description: "Healthy", content: { "application/json": { schema: healthSchema } } },
    503: { description: "The database or the node does not answer." },
  },
});

const metricsRoute = createRoute({
  method: "get",
  path: "/metrics",
  summary: "Metrics in the text format of Prometheus",
  security: [],
  responses: { 200: { description: "Metrics", content: { "text/plain": { schema: z.string() } } } },
});

export interface HealthContext {
  readonly db: AnyDatabase;
  readonly node: SandboxNode;
  readonly metrics: Registry;
}

export function healthRoutes({ db, node, metrics }: HealthContext): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    app.openapi(health, async (c) => {
      // Reaches the database, so that a server without one is not called healthy.
      await sql`select 1`.execute(db);
      const { accelerator, machines, pooled, prepared } = await node.status();
      return c.json({ status: "ok" as const, accelerator, machines, pooled, standing: prepared }, 200);
    });
    app.openapi(metricsRoute, async (c) =>
      c.text(await metrics.metrics(), 200, { "content-type": metrics.contentType }),
    );
  };
}

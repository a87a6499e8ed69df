/** `/healthz` and `/metrics`. */
import { createHash, timingSafeEqual } from "node:crypto";
import { healthSchema, type Health } from "@caisson/api";
import { CaissonError, type SandboxNode } from "@caisson/protocol";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import { sql } from "kysely";
import type { Registry } from "prom-client";
import type { AnyDatabase } from "../kernel/database/open.ts";
import type { HttpVariables } from "../kernel/http/context.ts";
import { refusals } from "../kernel/http/refusals.ts";

const health = createRoute({
  method: "get",
  path: "/healthz",
  summary: "Health of server, database and node",
  security: [],
  responses: {
    200: { description: "Healthy", content: { "application/json": { schema: healthSchema } } },
    503: { description: "The database or the node does not answer." },
    ...refusals(400, 403, 429),
  },
});

const metricsRoute = createRoute({
  method: "get",
  path: "/metrics",
  summary: "Metrics in the text format of Prometheus",
  description: "Needs the token `api.metricsToken`, except on loopback.",
  responses: {
    200: { description: "Metrics", content: { "text/plain": { schema: z.string() } } },
    ...refusals(400, 401, 403, 429),
  },
});

export interface HealthContext {
  readonly db: AnyDatabase;
  readonly node: SandboxNode;
  readonly metrics: Registry;
  /** Whoever sends it as a bearer token may read the metrics. Undefined: only programs on this machine may. */
  readonly metricsToken: string | undefined;
  /** What cannot be used because of damage. */
  readonly damaged: () => Health["damaged"];
}

export function healthRoutes({
  db,
  node,
  metrics,
  metricsToken,
  damaged,
}: HealthContext): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    app.openapi(health, async (c) => {
      // Reaches the database, so that a server without one is not called healthy.
      await sql`select 1`.execute(db);
      const { accelerator, machines, pooled, prepared } = await node.status();
      return c.json(
        { status: "ok" as const, accelerator, machines, pooled, standing: prepared, damaged: damaged() },
        200,
      );
    });
    app.openapi(metricsRoute, async (c) => {
      if (!c.get("local"))
        await c.get("admission").identify(async () => {
          const { authorization = "" } = c.req.header();
          if (metricsToken !== undefined && equal(authorization, `Bearer ${metricsToken}`)) return;
          throw new CaissonError(
            "unauthenticated",
            "Metrics need the token `api.metricsToken` of config.json, as `Authorization: Bearer ...`.",
            { wireCode: "INVALID_TOKEN" },
          );
        });
      return c.text(await metrics.metrics(), 200, { "content-type": metrics.contentType });
    });
  };
}

function equal(given: string, wanted: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(given), hash(wanted));
}

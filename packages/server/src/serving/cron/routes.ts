/** REST for the cron jobs of an app. No part of Deno's contract. */
import { cronJob } from "@caisson/api";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { AppsService } from "../../apps/index.ts";
import type { HttpVariables } from "../../kernel/http/context.ts";
import { json } from "../../kernel/http/lists.ts";
import { refusals } from "../../kernel/http/refusals.ts";
import type { CronStore } from "./store.ts";

const listRoute = createRoute({
  method: "get",
  path: "/api/v2/apps/{app}/crons",
  summary: "The cron jobs of production: when they ran, and when they run next",
  request: { params: z.object({ app: z.string().describe("Id or slug.") }) },
  responses: { 200: json("At most 100", z.array(cronJob)), ...refusals(401, 403, 404) },
});

export function cronRoutes(apps: AppsService, store: CronStore): (app: OpenAPIHono<HttpVariables>) => void {
  const time = (at: number | null) => (at === null ? null : new Date(at).toISOString());
  return (app) =>
    void app.openapi(listRoute, async (c) => {
      const { id } = await apps.require(c.get("org").id, c.req.valid("param").app);
      const rows = await store.of(id);
      return c.json(
        rows.map((row) => ({
          name: row.name,
          schedule: row.schedule,
          backoff_schedule: JSON.parse(row.backoff) as number[],
          next_run_at: time(row.next_at)!,
          running_since: time(row.started_at),
          failed_attempts: row.attempt,
          last_run:
            row.last_started_at === null
              ? null
              : { started_at: time(row.last_started_at)!, ended_at: time(row.last_ended_at), error: row.last_error },
        })),
        200,
      );
    });
}

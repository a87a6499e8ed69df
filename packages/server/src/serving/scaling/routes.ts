/** REST for the scaling of an app. No part of Deno's contract. */
import { appScaling, appScalingRequest } from "@caisson/api";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { AppsService } from "../../apps/index.ts";
import type { HttpVariables } from "../../kernel/http/context.ts";
import { json } from "../../kernel/http/lists.ts";
import { refusals } from "../../kernel/http/refusals.ts";
import type { ScalingSettings } from "./settings.ts";

const path = "/api/v2/apps/{app}/scaling";
const params = z.object({ app: z.string().describe("Id or slug.") });

const getRoute = createRoute({
  method: "get",
  path,
  summary: "How many instances an app may have, and how busy they should be",
  request: { params },
  responses: { 200: json("What holds now", appScaling), ...refusals(401, 403, 404) },
});
const putRoute = createRoute({
  method: "put",
  path,
  summary: "Set how many instances an app may have. What is absent or null is as the server is configured",
  request: { params, body: { required: true, content: { "application/json": { schema: appScalingRequest } } } },
  responses: { 200: json("What holds now", appScaling), ...refusals(400, 401, 403, 404, 413) },
});
const deleteRoute = createRoute({
  method: "delete",
  path,
  summary: "Scale the app as the server is configured",
  request: { params },
  responses: { 204: { description: "It does." }, ...refusals(401, 403, 404) },
});

export function scalingRoutes(apps: AppsService, settings: ScalingSettings): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    app.openapi(getRoute, async (c) => {
      const { id } = await apps.require(c.get("org").id, c.req.valid("param").app);
      return c.json(settings.of(id), 200);
    });
    app.openapi(putRoute, async (c) => {
      const { id } = await apps.require(c.get("org").id, c.req.valid("param").app);
      return c.json(await settings.set(id, c.req.valid("json")), 200);
    });
    app.openapi(deleteRoute, async (c) => {
      const { id } = await apps.require(c.get("org").id, c.req.valid("param").app);
      await settings.clear(id);
      return c.body(null, 204);
    });
  };
}

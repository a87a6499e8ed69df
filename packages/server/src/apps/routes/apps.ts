/** REST for apps (wire contract 1.7). An app is named by id or slug. */
import { appSchema, createAppRequest, updateAppRequest } from "@caisson/api";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { HttpVariables } from "../../kernel/http/context.ts";
import { linkHeader } from "../../kernel/http/pagination.ts";
import { largeBody, readJson } from "../../kernel/http/read-json.ts";
import { refusals } from "../../kernel/http/refusals.ts";
import { readLabelFilter } from "../../kernel/labels/read-filter.ts";
import { createApp, deleteApp, getApp, listApps, updateApp } from "../apps.ts";
import type { AppContext } from "../context.ts";
import { json, pageQuery, readRows } from "../../kernel/http/lists.ts";

const params = z.object({ app: z.string().describe("Id or slug.") });
const listItem = appSchema.omit({ env_vars: true, config: true }).meta({ id: "AppListItem" });

export function appRoutes(ctx: AppContext, publicUrl: () => string): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    app.openapi(
      createRoute({
        method: "get",
        path: "/api/v2/apps",
        summary: "List apps, newest first",
        request: {
          query: z.object({
            ...pageQuery,
            layer: z.string().optional().openapi({ description: "Id or slug of a layer that the app names." }),
            "labels[key]": z.string().optional().openapi({ description: "Value of the label `key`. Can be repeated." }),
          }),
        },
        responses: { 200: { ...json("A page", z.array(listItem)), headers: linkHeader }, ...refusals(400, 401, 403) },
      }),
      async (c) => {
        const rows = await readRows(
          c,
          publicUrl,
          ({ query, limit, before }) =>
            listApps(ctx, {
              orgId: c.get("org").id,
              labels: readLabelFilter(query),
              layer: query.getAll("layer").findLast((text) => text !== ""),
              limit,
              before,
            }),
          ({ row }) => row,
        );
        return c.json(
          rows.map(({ item }) => item),
          200,
        );
      },
    );
    app.openapi(
      createRoute({
        method: "post",
        path: "/api/v2/apps",
        summary: "Create an app",
        request: largeBody(app, "CreateAppRequest", createAppRequest),
        responses: { 200: json("The new app", appSchema), ...refusals(400, 401, 403, 404, 409, 413, 429) },
      }),
      async (c) => c.json(await createApp(ctx, c.get("org").id, await readJson(c, createAppRequest)), 200),
    );
    app.openapi(
      createRoute({
        method: "get",
        path: "/api/v2/apps/{app}",
        summary: "Get an app",
        request: { params },
        responses: { 200: json("The app", appSchema), ...refusals(401, 403, 404) },
      }),
      async (c) => c.json(await getApp(ctx, c.get("org").id, c.req.valid("param").app), 200),
    );
    app.openapi(
      createRoute({
        method: "patch",
        path: "/api/v2/apps/{app}",
        summary: "Change an app",
        request: { params, ...largeBody(app, "UpdateAppRequest", updateAppRequest) },
        responses: { 200: json("The app", appSchema), ...refusals(400, 401, 403, 404, 409, 413, 429) },
      }),
      async (c) => {
        const update = await readJson(c, updateAppRequest);
        return c.json(await updateApp(ctx, c.get("org").id, c.req.valid("param").app, update), 200);
      },
    );
    app.openapi(
      createRoute({
        method: "delete",
        path: "/api/v2/apps/{app}",
        summary: "Delete an app with its revisions and logs. Its traffic stops at once",
        request: { params },
        responses: { 204: { description: "Deleted" }, ...refusals(401, 403, 404) },
      }),
      async (c) => {
        await deleteApp(ctx, c.get("org").id, c.req.valid("param").app);
        return c.body(null, 204);
      },
    );
  };
}

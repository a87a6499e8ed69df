/** REST for layers of configuration (wire contract 1.7). A layer is named by id or slug. */
import { createLayerRequest, layerAppSchema, layerSchema, updateLayerRequest } from "@caisson/api";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { HttpVariables } from "../../kernel/http/context.ts";
import { linkHeader } from "../../kernel/http/pagination.ts";
import { largeBody, readJson } from "../../kernel/http/read-json.ts";
import { refusals } from "../../kernel/http/refusals.ts";
import { createLayer, deleteLayer, getLayer, listLayerApps, listLayers, updateLayer } from "../config-layers.ts";
import type { AppContext } from "../context.ts";
import { requireLayer } from "../lookup.ts";
import { json, pageQuery, readRows } from "../../kernel/http/lists.ts";

const params = z.object({ layer: z.string().describe("Id or slug.") });

export function layerRoutes(ctx: AppContext, publicUrl: () => string): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    app.openapi(
      createRoute({
        method: "get",
        path: "/api/v2/layers",
        summary: "List layers of configuration, newest first",
        request: {
          query: z.object({
            ...pageQuery,
            search: z.string().optional().openapi({ description: "Part of the slug, the description or the id." }),
          }),
        },
        responses: {
          200: { ...json("A page", z.array(layerSchema)), headers: linkHeader },
          ...refusals(400, 401, 403),
        },
      }),
      async (c) => {
        const rows = await readRows(
          c,
          publicUrl,
          ({ query, limit, before }) => {
            const search = query.getAll("search").at(-1)?.slice(0, 64);
            return listLayers(ctx, { orgId: c.get("org").id, search, limit, before });
          },
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
        path: "/api/v2/layers",
        summary: "Create a layer of configuration",
        request: largeBody(app, "CreateLayerRequest", createLayerRequest),
        responses: { 200: json("The new layer", layerSchema), ...refusals(400, 401, 403, 404, 409, 413, 429) },
      }),
      async (c) => c.json(await createLayer(ctx, c.get("org").id, await readJson(c, createLayerRequest)), 200),
    );
    app.openapi(
      createRoute({
        method: "get",
        path: "/api/v2/layers/{layer}",
        summary: "Get a layer of configuration",
        request: { params },
        responses: { 200: json("The layer", layerSchema), ...refusals(401, 403, 404) },
      }),
      async (c) => c.json(await getLayer(ctx, c.get("org").id, c.req.valid("param").layer), 200),
    );
    app.openapi(
      createRoute({
        method: "patch",
        path: "/api/v2/layers/{layer}",
        summary: "Change a layer of configuration, for all apps that name it",
        request: { params, ...largeBody(app, "UpdateLayerRequest", updateLayerRequest) },
        responses: { 200: json("The layer", layerSchema), ...refusals(400, 401, 403, 404, 409, 413, 429) },
      }),
      async (c) => {
        const update = await readJson(c, updateLayerRequest);
        return c.json(await updateLayer(ctx, c.get("org").id, c.req.valid("param").layer, update), 200);
      },
    );
    app.openapi(
      createRoute({
        method: "delete",
        path: "/api/v2/layers/{layer}",
        summary: "Delete a layer of configuration that no app and no layer names",
        request: { params },
        responses: { 204: { description: "Deleted" }, ...refusals(401, 403, 404, 409) },
      }),
      async (c) => {
        await deleteLayer(ctx, c.get("org").id, c.req.valid("param").layer);
        return c.body(null, 204);
      },
    );
    app.openapi(
      createRoute({
        method: "get",
        path: "/api/v2/layers/{layer}/apps",
        summary: "List the apps that name a layer, newest first",
        request: { params, query: z.object(pageQuery) },
        responses: {
          200: { ...json("A page", z.array(layerAppSchema)), headers: linkHeader },
          ...refusals(400, 401, 403, 404),
        },
      }),
      async (c) => {
        const { id } = await requireLayer(ctx.db, c.get("org").id, c.req.valid("param").layer);
        const rows = await readRows(
          c,
          publicUrl,
          ({ limit, before }) => listLayerApps(ctx, id, { limit, before }),
          (row) => row,
        );
        return c.json(
          rows.map((row) => ({ id: row.id, slug: row.slug, layer_position: row.position })),
          200,
        );
      },
    );
  };
}

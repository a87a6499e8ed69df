/** REST for sandboxes (wire contract 1.6). Both clients' paths are served on every base. */
import { extendRequest, extendResponse, networkSchema, sandboxSchema } from "@caisson/api";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { HttpVariables } from "../kernel/http/context.ts";
import { decodeCursor, encodeCursor } from "../kernel/http/cursor.ts";
import { linkHeader, nextLink, pageParameters, readPage } from "../kernel/http/pagination.ts";
import { refusals } from "../kernel/http/refusals.ts";
import { readLabelFilter } from "../kernel/labels/read-filter.ts";
import { toListItem } from "./list-item.ts";
import type { Sandboxes } from "./sandboxes.ts";
import type { SandboxStore } from "./store.ts";

const mostInPage = 1000;

export interface SandboxRoutesContext {
  readonly sandboxes: Sandboxes;
  readonly store: SandboxStore;
  readonly publicUrl: () => string;
}

const idParameter = z.object({ id: z.string().describe("`sbx_<region>_<20 characters>`") });

export function sandboxRoutes(context: SandboxRoutesContext): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    for (const path of ["/api/v2/sandboxes", "/api/v3/sandboxes"])
      app.openapi(listRoute(path), (c) => list(c, context));
    app.openapi(networkRoute, async (c) => {
      await context.sandboxes.setNetwork(c.get("org").id, c.req.param("id") ?? "", c.req.valid("json"));
      return c.body(null, 204);
    });
    for (const path of ["/api/v3/sandbox/{id}", "/api/v3/sandboxes/{id}"]) {
      app.openapi(killRoute(path), async (c) => {
        await context.sandboxes.kill(c.get("org").id, c.req.param("id") ?? "");
        return c.body(null, 204);
      });
      app.openapi(extendRoute(path), async (c) => {
        const row = await context.sandboxes.row(c.get("org").id, c.req.param("id") ?? "");
        return c.json({ stop_at_ms: await context.sandboxes.extend(row.id, c.req.valid("json").stop_at_ms) }, 200);
      });
    }
  };
}

const listRoute = (path: string) =>
  createRoute({
    method: "get",
    path,
    summary: "List sandboxes, running and stopped, newest first",
    request: {
      query: z.object({
        ...pageParameters(mostInPage),
        labels: z
          .unknown()
          .optional()
          .openapi({
            type: "object",
            additionalProperties: { type: "string" },
            description: "Only sandboxes with these labels: `labels[key]=value`.",
            param: { style: "deepObject", explode: true },
          }),
      }),
    },
    responses: {
      200: {
        description: "A page",
        headers: linkHeader,
        content: { "application/json": { schema: z.array(sandboxSchema) } },
      },
      ...refusals(400, 401, 403),
    },
  });

const networkRoute = createRoute({
  method: "put",
  path: "/api/v1/sandboxes/{id}/network",
  summary: "Change which hosts a sandbox reaches unread, and which authorities are trusted for single hosts",
  request: {
    params: idParameter,
    body: { required: true, content: { "application/json": { schema: networkSchema } } },
  },
  responses: {
    204: { description: "It applies. Connections of the sandbox to the outside have ended." },
    ...refusals(400, 401, 403, 404, 410, 413, 503),
  },
});

const killRoute = (path: string) =>
  createRoute({
    method: "delete",
    path,
    summary: "End a sandbox",
    request: { params: idParameter },
    responses: { 204: { description: "It has ended." }, ...refusals(401, 403, 404, 503) },
  });

const extendRoute = (path: string) =>
  createRoute({
    method: "patch",
    path,
    summary: "Move the end of life of a sandbox",
    request: {
      params: idParameter,
      body: { required: true, content: { "application/json": { schema: extendRequest } } },
    },
    responses: {
      200: { description: "Granted", content: { "application/json": { schema: extendResponse } } },
      ...refusals(400, 401, 403, 404, 410, 413),
    },
  });

async function list(c: Context<HttpVariables>, { sandboxes, store, publicUrl }: SandboxRoutesContext) {
  const query = new URL(c.req.url).searchParams;
  const { limit, cursor } = readPage(query, { standard: mostInPage, most: mostInPage });
  const rows = await store.list({
    orgId: c.get("org").id,
    labels: readLabelFilter(query),
    limit: limit + 1,
    before: cursor === undefined ? undefined : decodeCursor(cursor),
  });
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  // The JavaScript client does not page here and ignores the header.
  if (rows.length > limit && last !== undefined)
    c.header("Link", nextLink(publicUrl(), c.req.path, query, encodeCursor(last)));
  return c.json(
    page.map((row) => toListItem(row, sandboxes.endOf(row.id))),
    200,
  );
}

/** Names of exposed ports over REST, beyond the public contract: protection, signed links, visits. */
import { newPreview, newPreviewLink, preview, previewChange, previewLink, previewVisit } from "@caisson/api";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import { isAuditId } from "../audit/store.ts";
import type { HttpVariables } from "../kernel/http/context.ts";
import { foreignCursor } from "../kernel/http/cursor.ts";
import { linkHeader, nextLink, pageParameters, readPage } from "../kernel/http/pagination.ts";
import { refusals } from "../kernel/http/refusals.ts";
import type { Sandboxes } from "../sandboxes/index.ts";
import type { Previews } from "./previews.ts";
import type { VisitLog } from "./visit-log.ts";
import type { VisitStore } from "./visit-store.ts";

const mostInPage = 1000;
const path = "/api/v1/sandboxes/{id}/previews";
const id = z.string().openapi({ description: "Id of the sandbox." });
const address = z
  .string()
  .openapi({ description: "The address, as it was given out: a hostname, with or without port." });
const json = <S extends z.ZodType>(schema: S) => ({ content: { "application/json": { schema } } });
const body = <S extends z.ZodType>(schema: S) => ({ body: { required: true, ...json(schema) } });

const list = createRoute({
  method: "get",
  path,
  summary: "The public addresses of a running sandbox",
  request: { params: z.object({ id }) },
  responses: { 200: { description: "All of them", ...json(z.array(preview)) }, ...refusals(401, 403, 404, 410, 501) },
});

const create = createRoute({
  method: "post",
  path,
  summary: "Expose a port at a new public address, protected if wanted",
  request: { params: z.object({ id }), ...body(newPreview) },
  responses: {
    201: { description: "Exposed", ...json(preview) },
    ...refusals(400, 401, 403, 404, 410, 413, 429, 501, 503),
  },
});

const change = createRoute({
  method: "patch",
  path: `${path}/{address}`,
  summary: "Protect an address, or open it to all",
  request: { params: z.object({ id, address }), ...body(previewChange) },
  responses: { 200: { description: "Changed", ...json(preview) }, ...refusals(400, 401, 403, 404, 410, 413, 501, 503) },
});

const sign = createRoute({
  method: "post",
  path: `${path}/{address}/links`,
  summary: "Sign a link that opens a protected address",
  request: { params: z.object({ id, address }), ...body(newPreviewLink) },
  responses: {
    201: { description: "Signed", ...json(previewLink) },
    ...refusals(400, 401, 403, 404, 409, 410, 413, 501, 503),
  },
});

const visits = createRoute({
  method: "get",
  path: "/api/v1/sandboxes/{id}/visits",
  summary: "Requests and WebSockets that reached the exposed ports of a sandbox, newest first; also after its end",
  request: { params: z.object({ id }), query: z.object(pageParameters(mostInPage)) },
  responses: {
    200: { description: "A page", headers: linkHeader, ...json(z.array(previewVisit)) },
    ...refusals(400, 401, 403, 404, 503),
  },
});

export interface OwnRoutesContext {
  readonly sandboxes: Sandboxes;
  readonly previews: Previews;
  readonly log: VisitLog;
  readonly store: VisitStore;
  readonly publicUrl: () => string;
}

export function ownPreviewRoutes(context: OwnRoutesContext): (app: OpenAPIHono<HttpVariables>) => void {
  const { sandboxes, previews, log, store, publicUrl } = context;
  return (app) => {
    app.openapi(list, async (c) => {
      const sandbox = await sandboxes.find(c.get("org").id, c.req.valid("param").id);
      return c.json(previews.list(sandbox.id), 200);
    });
    app.openapi(create, async (c) => {
      const sandbox = await sandboxes.find(c.get("org").id, c.req.valid("param").id);
      const { port, protected: wanted } = c.req.valid("json");
      const reserved = await previews.reserve(sandbox);
      // Protected first: between the two it leads nowhere.
      if (wanted) await previews.protect(sandbox.id, reserved, true);
      await previews.bind(sandbox.id, reserved, { port });
      return c.json({ address: reserved, port, protected: wanted }, 201);
    });
    app.openapi(change, async (c) => {
      const params = c.req.valid("param");
      const sandbox = await sandboxes.find(c.get("org").id, params.id);
      return c.json(await previews.protect(sandbox.id, params.address, c.req.valid("json").protected), 200);
    });
    app.openapi(sign, async (c) => {
      const params = c.req.valid("param");
      const sandbox = await sandboxes.find(c.get("org").id, params.id);
      const expiresAt = Date.now() + c.req.valid("json").expiresInSeconds * 1000;
      return c.json({ url: previews.link(sandbox.id, params.address, expiresAt), expiresAt }, 201);
    });
    app.openapi(visits, async (c) => {
      const orgId = c.get("org").id;
      const { id: workloadId } = await sandboxes.row(orgId, c.req.valid("param").id);
      const query = new URL(c.req.url).searchParams;
      const page = readPage(query, { standard: 100, most: mostInPage });
      // Visits have ids of the same form. PostgreSQL refuses some texts, such as NUL.
      if (page.cursor !== undefined && !isAuditId(page.cursor)) throw foreignCursor();
      await log.flush();
      const found = await store.of({ orgId, workloadId }, page);
      if (found.next !== undefined) c.header("Link", nextLink(publicUrl(), c.req.path, query, found.next));
      return c.json(found.visits, 200);
    });
  };
}

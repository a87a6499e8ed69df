/** Reserves public names over REST (wire contract 1.6). */
import { exposeResponse } from "@caisson/api";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { HttpVariables } from "../kernel/http/context.ts";
import { refusals } from "../kernel/http/refusals.ts";
import type { Sandboxes } from "../sandboxes/index.ts";
import type { Previews } from "./previews.ts";

const params = z.object({ id: z.string().describe("Id of the sandbox.") });

const exposeHttp = createRoute({
  method: "post",
  path: "/api/v3/sandbox/{id}/expose/http",
  summary: "Reserve a public name, which the RPC method `exposeHttp` binds to a port",
  request: { params },
  responses: {
    200: { description: "Reserved", content: { "application/json": { schema: exposeResponse } } },
    ...refusals(401, 403, 404, 410, 413, 429, 501, 503),
  },
});

const exposeVscode = createRoute({
  method: "post",
  path: "/api/v3/sandbox/{id}/expose/vscode",
  summary: "Reserve a public name for an editor, which the RPC method `exposeHttp` binds to its port",
  request: { params },
  responses: {
    200: { description: "Reserved", content: { "application/json": { schema: exposeResponse } } },
    ...refusals(401, 403, 404, 410, 413, 429, 501, 503),
  },
});

export interface PreviewRoutesContext {
  readonly sandboxes: Sandboxes;
  readonly previews: Previews;
}

export function previewRoutes({
  sandboxes,
  previews,
}: PreviewRoutesContext): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    // The Python client sends the target as well, but binds the name by RPC afterwards. So the body is not read.
    for (const route of [exposeHttp, exposeVscode])
      app.openapi(route, async (c) => {
        const sandbox = await sandboxes.find(c.get("org").id, c.req.valid("param").id);
        return c.json({ domain: await previews.reserve(sandbox) }, 200);
      });
  };
}

/** The WebSocket routes as the API document has them, and what a request gets that is no upgrade. */
import { createConfigSchema } from "@caisson/api";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { HttpVariables } from "../kernel/http/context.ts";
import { registerSchema } from "../kernel/http/read-json.ts";
import { refusals } from "../kernel/http/refusals.ts";
import { requireUpgrade } from "../kernel/http/require-upgrade.ts";

const upgraded = (description: string) => ({
  101: {
    description,
    headers: z.object({ "x-deno-sandbox-id": z.string().describe("Id of the sandbox.") }),
  },
});

const create = createRoute({
  method: "get",
  path: "/api/v3/sandboxes/create",
  summary: "Create a sandbox: WebSocket upgrade. JSON-RPC 2.0 in text frames follows",
  request: {
    headers: z.object({
      "x-deno-sandbox-config": z
        .string()
        .describe("Base64 of JSON as in #/components/schemas/CreateConfig.")
        .optional(),
    }),
  },
  responses: {
    ...upgraded("The sandbox runs."),
    ...refusals(400, 401, 403, 404, 409, 426, 429, 501, 502, 503, 504),
  },
});

const connect = (path: string) =>
  createRoute({
    method: "get",
    path,
    summary: "Connect to a sandbox: WebSocket upgrade. JSON-RPC 2.0 in text frames follows",
    request: { params: z.object({ id: z.string().describe("Id of the sandbox.") }) },
    responses: { ...upgraded("Connected."), ...refusals(400, 401, 403, 404, 410, 426, 429, 503) },
  });

export function describeUpgrades(app: OpenAPIHono<HttpVariables>): void {
  // No body has it, so nothing else would put it into the document.
  registerSchema(app, "CreateConfig", createConfigSchema);
  const routes = [create, connect("/api/v3/sandbox/{id}/connect"), connect("/api/v3/sandboxes/{id}/connect")];
  for (const route of routes) app.openapi(route, (c) => requireUpgrade(c));
}

/** The OpenAPI document, made from the routes that the slices declare. */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { HttpVariables } from "./context.ts";

export function describeApi(app: OpenAPIHono<HttpVariables>, publicUrl: () => string): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "token", {
    type: "http",
    scheme: "bearer",
    description: "A token of an organisation, `ddo_...`.",
  });
  app.doc31("/openapi.json", () => ({
    openapi: "3.1.0",
    info: {
      title: "Caisson",
      version: "0.1.0",
      description: "REST interface. Sandboxes themselves are used over WebSocket: JSON-RPC 2.0 in text frames.",
    },
    servers: [{ url: publicUrl() }],
    security: [{ token: [] }],
  }));
}

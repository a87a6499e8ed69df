/** For operators and tools: health, metrics, the interface description. */
import { Hono } from "hono";
import type { HttpVariables, ServerContext } from "./context.ts";
import { openApiDocument } from "./openapi.ts";

export function operationRoutes({ node, sandboxStore, metrics, publicUrl }: ServerContext): Hono<HttpVariables> {
  const app = new Hono<HttpVariables>();
  app.get("/healthz", async (c) => {
    // Reaches the database, so that a server without one is not called healthy.
    await sandboxStore.countByPhase();
    const { accelerator, machines, pooled, standing } = node.status();
    return c.json({ status: "ok", accelerator, machines, pooled, standing });
  });
  app.get("/metrics", async (c) =>
    c.text(await metrics.registry.metrics(), 200, { "content-type": metrics.registry.contentType }),
  );
  app.get("/openapi.json", (c) => c.json(openApiDocument(publicUrl())));
  return app;
}

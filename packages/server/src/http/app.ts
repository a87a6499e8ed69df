/** The REST interface: routes, and what applies to all of them. */
import { CaissonError } from "@caisson/protocol";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { auditRoutes } from "./audit.ts";
import type { HttpVariables, ServerContext } from "./context.ts";
import { toErrorAnswer } from "./errors.ts";
import { operationRoutes } from "./operations.ts";
import { sandboxRoutes } from "./sandboxes.ts";
import { volumeRoutes } from "../volumes/routes.ts";
import { newTraceId, traceHeader } from "./trace.ts";

/** Largest body of a request, bytes. */
const maxBody = 1024 * 1024;

export function createApp(context: ServerContext): Hono<HttpVariables> {
  const { log, metrics, tokens } = context;
  const app = new Hono<HttpVariables>();

  app.use(async (c, next) => {
    const requestId = newTraceId();
    const started = performance.now();
    c.set("requestId", requestId);
    c.set("log", log.child({ requestId }));
    await next();
    c.header(traceHeader, requestId);
    metrics.requests.inc({ method: c.req.method, status: c.res.status });
    // Path without query: a query may carry what is nobody's business.
    c.get("log").info(
      { method: c.req.method, path: c.req.path, status: c.res.status, ms: Math.round(performance.now() - started) },
      "request",
    );
  });
  app.onError((error, c) => {
    const thrown = (error as NodeJS.ErrnoException).code === "ECONNRESET" ? goneWithin(error) : error;
    const { status, body } = toErrorAnswer(thrown, c.get("log"));
    return c.json(body, status as ContentfulStatusCode, { [traceHeader]: c.get("requestId") });
  });
  app.notFound((c) => {
    throw new CaissonError("not_found", `Nothing is served at ${c.req.method} ${c.req.path.slice(0, 200)}.`);
  });
  app.use(
    bodyLimit({
      maxSize: maxBody,
      onError: () => {
        throw new CaissonError("too_large", `The body has more than ${maxBody} bytes.`);
      },
    }),
  );

  app.route("/", operationRoutes(context));
  app.use("/api/*", async (c, next) => {
    c.set("org", await tokens.authenticate(c.req.header("authorization"), c.req.header("x-deno-org")));
    await next();
  });
  app.route("/", sandboxRoutes(context));
  app.route("/", auditRoutes(context));
  app.route("/", volumeRoutes(context));
  return app;
}

/** What reading the body of a client throws that has left: no fault of ours, and nobody reads the answer. */
function goneWithin(cause: Error): CaissonError {
  return new CaissonError("cancelled", "The client went away before the end of its request.", { cause });
}

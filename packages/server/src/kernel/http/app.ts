/** The REST interface: what applies to all routes. The routes themselves come from the slices. */
import { CaissonError } from "@caisson/protocol";
import { OpenAPIHono } from "@hono/zod-openapi";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Logger } from "pino";
import { z } from "zod";
import { withReserve } from "../database/reserve.ts";
import type { SliceParts } from "../slice.ts";
import { allowedMethods } from "./allowed-methods.ts";
import { bodyLimits } from "./body-limits.ts";
import { challenge, toErrorAnswer } from "./errors.ts";
import { useCookie } from "./console-path.ts";
import type { Authenticator, HttpVariables } from "./context.ts";
import { describeApi } from "./document.ts";
import { RateLimited, type Gate } from "./gate.ts";
import type { TokenUses } from "./token-uses.ts";
import { newTraceId, traceHeader } from "./trace.ts";

export interface AppOptions {
  readonly slices: readonly SliceParts[];
  readonly gate: Gate;
  readonly authenticator: Authenticator;
  readonly uses: TokenUses;
  readonly publicUrl: () => string;
  /** Called for each answer, for metrics. */
  readonly observe: (method: string, status: number) => void;
  readonly log: Logger;
}

export type App = OpenAPIHono<HttpVariables>;

export function createApp({ slices, gate, authenticator, uses, publicUrl, observe, log }: AppOptions): App {
  const app: App = new OpenAPIHono<HttpVariables>({
    // A request that its schema refuses. The body is never repeated: it may hold secrets.
    defaultHook: (result) => {
      if (!result.success) throw new CaissonError("invalid_argument", z.prettifyError(result.error));
    },
  });

  app.use(async (c, next) => {
    const requestId = newTraceId();
    const started = performance.now();
    c.set("requestId", requestId);
    c.set("log", log.child({ requestId }));
    await next();
    c.header(traceHeader, requestId);
    observe(c.req.method, c.res.status);
    if (c.error instanceof RateLimited) return;
    // Path without query: a query may carry what is nobody's business.
    c.get("log").info(
      { method: c.req.method, path: c.req.path, status: c.res.status, ms: Math.round(performance.now() - started) },
      "request",
    );
  });
  app.onError((error, c) => {
    const thrown = (error as NodeJS.ErrnoException).code === "ECONNRESET" ? disconnected(error) : error;
    const { status, body } = toErrorAnswer(thrown, c.get("log"));
    if (error instanceof RateLimited) c.header("connection", "close");
    if (status === 401) c.header("www-authenticate", challenge);
    return c.json(body, status as ContentfulStatusCode, { [traceHeader]: c.get("requestId") });
  });
  app.use(async (c, next) => {
    const { incoming, outgoing } = c.env;
    useCookie(incoming);
    c.set("admission", gate.admit(incoming, outgoing));
    c.set("local", gate.isLocal(incoming));
    await next();
  });
  let allowed: ReturnType<typeof allowedMethods> | undefined;
  app.notFound((c) => {
    const methods = (allowed ??= allowedMethods(app.routes))(c.req.path);
    if (methods.length > 0 && !methods.includes(c.req.method)) {
      c.header("allow", methods.join(", "));
      throw new CaissonError(
        "method_not_allowed",
        `This path does not have the method ${c.req.method.slice(0, 20)}. Use ${methods.join(" or ")}.`,
      );
    }
    throw new CaissonError("not_found", `No such route: ${c.req.method} ${c.req.path.slice(0, 200)}.`);
  });
  const limitOf = bodyLimits(slices.flatMap(({ largeBodies = [] }) => largeBodies));
  app.use((c, next) => limitOf(c.req.path)(c, next));

  app.use("/api/*", async (c, next) => {
    // All bodies are JSON, whatever a client's library says of them.
    if (c.req.method !== "GET") c.req.raw.headers.set("content-type", "application/json");
    await next();
  });

  for (const { publicRoutes } of slices) publicRoutes?.(app);
  describeApi(app, publicUrl);
  app.use("/api/*", async (c, next) => {
    const find = () => authenticator.authenticate(c.env.incoming.headers.authorization, c.req.header("x-deno-org"));
    const { org, tokenId } = await c.get("admission").identify(find);
    c.set("org", org);
    const { outgoing } = c.env;
    // A stream of events goes on for long. It is cut: its status was sent when it began.
    uses.add(tokenId, outgoing, () => outgoing.destroy());
    // On a full disk, what removes things may use the space that is kept for it.
    await (c.req.method === "DELETE" ? withReserve(next) : next());
  });
  for (const { routes } of slices) routes?.(app);
  return app;
}

/** Thrown while the body of a client that disconnected is read: no fault of ours, and nobody reads the answer. */
function disconnected(cause: Error): CaissonError {
  return new CaissonError("cancelled", "The client disconnected before the end of its request.", { cause });
}

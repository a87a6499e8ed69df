/** Calls of tRPC: `/api/<procedure>` or several of them in one request, separated by commas. */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { fetchRequestHandler } from "@trpc/server/adapters/fetch";
import { CaissonError } from "@caisson/protocol";
import { consolePath } from "../kernel/http/console-path.ts";
import type { HttpVariables } from "../kernel/http/context.ts";
import type { Sandboxes } from "../sandboxes/index.ts";
import { procedures, type ConsoleContext } from "./procedures.ts";

/** Calls in one request. The command line makes one or two. */
const mostCalls = 10;

export interface ConsoleRoutesContext {
  readonly sandboxes: Sandboxes;
  readonly publicUrl: () => string;
}

export function consoleRoutes({ sandboxes, publicUrl }: ConsoleRoutesContext) {
  return (app: OpenAPIHono<HttpVariables>): void => {
    app.on(["GET", "POST"], "/api/:calls{[A-Za-z]+\\.[A-Za-z.,]+}", (c) => {
      if (!consolePath.test(c.req.path) || c.req.path.split(",").length > mostCalls)
        throw new CaissonError("invalid_argument", `A request can have at most ${mostCalls} calls.`);
      const context: ConsoleContext = { org: c.get("org"), log: c.get("log"), sandboxes, publicUrl: publicUrl() };
      return fetchRequestHandler({
        endpoint: "/api",
        req: c.req.raw,
        router: procedures,
        createContext: () => context,
      });
    });
  };
}

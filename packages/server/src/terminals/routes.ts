/** Terminals over REST. Viewers attach by WebSocket, see `attach.ts`. */
import { newTerminal, terminal, terminalCommand, terminalNotice } from "@caisson/api";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { HttpVariables } from "../kernel/http/context.ts";
import { refusals } from "../kernel/http/refusals.ts";
import { requireUpgrade } from "../kernel/http/require-upgrade.ts";
import type { Sandboxes } from "../sandboxes/index.ts";
import type { Terminals } from "./terminals.ts";

const ofSandbox = z.object({ id: z.string().describe("Id of the sandbox.") });
const ofTerminal = ofSandbox.extend({ terminal: z.string().describe("Id of the terminal.") });
const json = <T extends z.ZodType>(schema: T) => ({ "application/json": { schema } });

const open = createRoute({
  method: "post",
  path: "/api/v1/sandboxes/{id}/terminals",
  summary: "Start a program in a terminal. It lives on while nobody is attached, for `keepSeconds`",
  request: { params: ofSandbox, body: { required: true, content: json(newTerminal) } },
  responses: {
    201: { description: "Started", content: json(terminal) },
    ...refusals(400, 401, 403, 404, 410, 413, 429, 502, 503),
  },
});

const list = createRoute({
  method: "get",
  path: "/api/v1/sandboxes/{id}/terminals",
  summary: "List the terminals of a sandbox",
  request: { params: ofSandbox },
  responses: {
    200: { description: "All of them", content: json(z.array(terminal)) },
    ...refusals(401, 403, 404, 410, 429, 503),
  },
});

const close = createRoute({
  method: "delete",
  path: "/api/v1/sandboxes/{id}/terminals/{terminal}",
  summary: "Close a terminal: its program is hung up (SIGHUP), and ended by force after 5 seconds",
  request: { params: ofTerminal },
  responses: { 204: { description: "It is being closed" }, ...refusals(401, 403, 404, 410, 429, 503) },
});

const attach = createRoute({
  method: "get",
  path: "/api/v1/sandboxes/{id}/terminals/{terminal}/attach",
  summary:
    "Attach to a terminal: WebSocket upgrade. Binary frames are input and output; text frames are TerminalCommand and TerminalNotice",
  request: {
    params: ofTerminal,
    query: z.object({
      readOnly: z
        .enum(["true", "false"])
        .optional()
        .describe("`true`: this viewer sees everything and changes nothing."),
    }),
  },
  responses: { 101: { description: "Attached" }, ...refusals(400, 401, 403, 404, 410, 426, 429, 503) },
});

export function terminalRoutes(sandboxes: Sandboxes, terminals: Terminals): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    // No body has them, so nothing else would put them into the document.
    for (const [name, schema] of Object.entries({
      TerminalCommand: terminalCommand,
      TerminalNotice: terminalNotice,
    })) {
      const { $schema: _, ...described } = z.toJSONSchema(schema, { io: "input" });
      app.openAPIRegistry.registerComponent("schemas", name, described as object);
    }
    app.openapi(open, async (c) => {
      const sandbox = await sandboxes.find(c.get("org").id, c.req.valid("param").id);
      return c.json((await terminals.open(sandbox, c.req.valid("json"))).info, 201);
    });
    app.openapi(list, async (c) => {
      const sandbox = await sandboxes.find(c.get("org").id, c.req.valid("param").id);
      return c.json(
        terminals.of(sandbox.id).map(({ info }) => info),
        200,
      );
    });
    app.openapi(close, async (c) => {
      const { id, terminal: name } = c.req.valid("param");
      const sandbox = await sandboxes.find(c.get("org").id, id);
      terminals.find(sandbox.id, name).close();
      return c.body(null, 204);
    });
    app.openapi(attach, (c) => requireUpgrade(c));
  };
}

/** Opens a sandbox for SSH over REST (wire contract 1.6). */
import { exposeSshResponse, sshHostKey } from "@caisson/api";
import { CaissonError, type SshGateway } from "@caisson/protocol";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { HttpVariables } from "../kernel/http/context.ts";
import { refusals } from "../kernel/http/refusals.ts";
import type { Sandboxes } from "../sandboxes/index.ts";
import type { SshUsers } from "./ssh-users.ts";

const exposeSsh = createRoute({
  method: "post",
  path: "/api/v3/sandbox/{id}/expose/ssh",
  summary: "Get a user name for SSH. It needs no password, and works until the sandbox ends",
  request: { params: z.object({ id: z.string().describe("Id of the sandbox.") }) },
  responses: {
    200: { description: "Opened", content: { "application/json": { schema: exposeSshResponse } } },
    ...refusals(401, 403, 404, 410, 413, 429, 501, 503),
  },
});

const hostKey = createRoute({
  method: "get",
  path: "/api/v1/ssh/host-key",
  summary: "The key by which clients know the SSH gateway: compare the fingerprint at the first login",
  responses: {
    200: { description: "The host key", content: { "application/json": { schema: sshHostKey } } },
    ...refusals(501, 503),
  },
});

/** Needs no token: whoever connects to the gateway sees its key. */
export function sshPublicRoutes(gateway: SshGateway | undefined): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    app.openapi(hostKey, (c) => {
      if (gateway === undefined) throw new CaissonError("unsupported", "This server has no SSH: it is turned off.");
      const { publicKey, fingerprint } = gateway;
      return c.json({ ...gateway.address(), publicKey, fingerprint }, 200);
    });
  };
}

export function sshRoutes(sandboxes: Sandboxes, users: SshUsers): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    app.openapi(exposeSsh, async (c) => {
      const sandbox = await sandboxes.find(c.get("org").id, c.req.valid("param").id);
      return c.json(await users.expose(sandbox), 200);
    });
  };
}

/** Keys that an organisation asks SSH clients for, over REST. */
import { newSshKey, sshKey } from "@caisson/api";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { HttpVariables } from "../kernel/http/context.ts";
import { refusals } from "../kernel/http/refusals.ts";
import type { SshKeys } from "./keys.ts";

const path = "/api/v1/ssh/keys";
const json = <S extends z.ZodType>(schema: S) => ({ content: { "application/json": { schema } } });

const list = createRoute({
  method: "get",
  path,
  summary: "The SSH keys of the organisation. When there is one, logins need one of them besides the user name",
  responses: { 200: { description: "All of them", ...json(z.array(sshKey)) }, ...refusals(401, 403) },
});

const add = createRoute({
  method: "post",
  path,
  summary: "Register an SSH key. From the first one on, logins to sandboxes of the organisation need a registered key",
  request: { body: { required: true, ...json(newSshKey) } },
  responses: {
    201: { description: "Registered", ...json(sshKey) },
    ...refusals(400, 401, 403, 409, 413, 429, 501),
  },
});

const remove = createRoute({
  method: "delete",
  path: `${path}/{id}`,
  summary:
    "Remove an SSH key and end the connections that logged in with it. After the last one, user names suffice again",
  request: { params: z.object({ id: z.string().describe("Id of the key.") }) },
  responses: { 204: { description: "Removed" }, ...refusals(401, 403, 404) },
});

export function sshKeyRoutes(keys: SshKeys): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    app.openapi(list, async (c) => c.json(await keys.list(c.get("org").id), 200));
    app.openapi(add, async (c) => c.json(await keys.add(c.get("org").id, c.req.valid("json")), 201));
    app.openapi(remove, async (c) => {
      await keys.remove(c.get("org").id, c.req.valid("param").id);
      return c.body(null, 204);
    });
  };
}

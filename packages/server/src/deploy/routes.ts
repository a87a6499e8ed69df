/** Deploys over REST (wire contract 1.6 and 1.7). */
import { deployRequest, revisionSchema, sandboxDeployRequest, sandboxDeployResponse } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { HttpVariables } from "../kernel/http/context.ts";
import { largeBody } from "../kernel/http/read-json.ts";
import { refusals } from "../kernel/http/refusals.ts";
import { deployFromAssets, type FromAssetsOptions } from "./from-assets.ts";
import { deployFromSandbox, type FromSandboxOptions } from "./from-sandbox.ts";

const deploySandbox = createRoute({
  method: "post",
  path: "/api/v2/sandboxes/{id}/deploy",
  summary: "Deploy the files of a sandbox to an app, with its network policy and its secrets",
  request: {
    params: z.object({ id: z.string().describe("Id of the sandbox.") }),
    body: { required: true, content: { "application/json": { schema: sandboxDeployRequest } } },
  },
  responses: {
    202: {
      description: "The deployment has begun; see its progress.",
      content: { "application/json": { schema: sandboxDeployResponse } },
    },
    ...refusals(400, 401, 403, 404, 410, 413, 429, 501, 503),
  },
});

/** Of the route whose body is read piece by piece. */
export const deployPath = /^\/api\/v2\/apps\/[^/]+\/deploy$/;

export function deployRoutes(
  options: FromSandboxOptions & FromAssetsOptions,
): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    app.openapi(deploySandbox, async (c) => {
      const { id } = c.req.valid("param");
      const revision = await deployFromSandbox(c.get("org").id, id, c.req.valid("json"), options);
      return c.json({ revision_id: revision.id }, 202);
    });
    const deployAssets = createRoute({
      method: "post",
      path: "/api/v2/apps/{app}/deploy",
      summary: "Deploy files. An asset has at most 48 MiB of JSON; larger files are deployed from a sandbox",
      request: {
        params: z.object({ app: z.string().describe("Id or slug of the app.") }),
        ...largeBody(app, "DeployRequest", deployRequest),
      },
      responses: {
        202: {
          description: "The deployment has begun; see its progress.",
          content: { "application/json": { schema: revisionSchema } },
        },
        ...refusals(400, 401, 403, 404, 413, 429, 503),
      },
    });
    app.openapi(deployAssets, async (c) => {
      const { body } = c.req.raw;
      if (body === null) throw new CaissonError("invalid_argument", "The request has no body.");
      const revision = await deployFromAssets(c.get("org").id, c.req.valid("param").app, body, options);
      return c.json(options.revisions.show(revision), 202);
    });
  };
}

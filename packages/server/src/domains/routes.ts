/** Domains of apps over REST. */
import { appDomain, newDomain, type AppDomain } from "@caisson/api";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { AppsService } from "../apps/index.ts";
import type { HttpVariables } from "../kernel/http/context.ts";
import { json } from "../kernel/http/lists.ts";
import { refusals } from "../kernel/http/refusals.ts";
import type { Domains } from "./domains.ts";
import { recordOf } from "./proof.ts";
import type { AppDomainRow } from "./tables.ts";

const path = "/api/v1/apps/{app}/domains";
const app = z.string().describe("Id or slug of the app.");
const domain = z.string().describe("The domain.");

export interface DomainRoutesOptions {
  readonly apps: AppsService;
  readonly domains: Domains;
  /** @throws CaissonError `invalid_argument` */
  readonly read: (domain: string) => string;
  /** Where domains of an app must lead. Null: there is no gateway. */
  readonly targetOf: (appSlug: string, orgSlug: string) => string | null;
}

export function domainRoutes(options: DomainRoutesOptions): (app: OpenAPIHono<HttpVariables>) => void {
  const { apps, domains, read, targetOf } = options;
  const show = (row: AppDomainRow, target: string | null): AppDomain => ({
    domain: row.domain,
    status: row.verified_at === null ? "pending" : "verified",
    verification: recordOf(row.domain, row.token),
    target,
    created_at: new Date(row.created_at).toISOString(),
    verified_at: row.verified_at === null ? null : new Date(row.verified_at).toISOString(),
  });
  return (hono) => {
    hono.openapi(
      createRoute({
        method: "get",
        path,
        summary: "The domains of an app",
        request: { params: z.object({ app }) },
        responses: { 200: json("All of them", z.array(appDomain)), ...refusals(401, 403, 404) },
      }),
      async (c) => {
        const org = c.get("org");
        const owner = await apps.require(org.id, c.req.valid("param").app);
        const rows = await domains.list(owner.id);
        return c.json(
          rows.map((row) => show(row, targetOf(owner.slug, org.slug))),
          200,
        );
      },
    );
    hono.openapi(
      createRoute({
        method: "post",
        path,
        summary: "Add a domain to an app. It is served when it is verified",
        request: {
          params: z.object({ app }),
          body: { required: true, content: { "application/json": { schema: newDomain } } },
        },
        responses: { 201: json("The domain", appDomain), ...refusals(400, 401, 403, 404, 409, 413, 429) },
      }),
      async (c) => {
        const org = c.get("org");
        const owner = await apps.require(org.id, c.req.valid("param").app);
        const row = await domains.add(owner, read(c.req.valid("json").domain));
        return c.json(show(row, targetOf(owner.slug, org.slug)), 201);
      },
    );
    hono.openapi(
      createRoute({
        method: "post",
        path: `${path}/{domain}/verify`,
        summary: "Look for the DNS record of a domain, and serve it",
        request: { params: z.object({ app, domain }) },
        responses: { 200: json("The domain", appDomain), ...refusals(400, 401, 403, 404, 409, 503) },
      }),
      async (c) => {
        const org = c.get("org");
        const params = c.req.valid("param");
        const owner = await apps.require(org.id, params.app);
        const row = await domains.verify(owner.id, read(params.domain));
        return c.json(show(row, targetOf(owner.slug, org.slug)), 200);
      },
    );
    hono.openapi(
      createRoute({
        method: "delete",
        path: `${path}/{domain}`,
        summary: "Remove a domain from an app. It is served no more",
        request: { params: z.object({ app, domain }) },
        responses: { 204: { description: "Removed" }, ...refusals(400, 401, 403, 404) },
      }),
      async (c) => {
        const params = c.req.valid("param");
        const owner = await apps.require(c.get("org").id, params.app);
        await domains.remove(owner.id, read(params.domain));
        return c.body(null, 204);
      },
    );
  };
}

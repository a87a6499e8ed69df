/** REST for timelines that divide their requests among revisions. No part of Deno's contract. */
import { timelineTraffic } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { HttpVariables } from "../../kernel/http/context.ts";
import { json } from "../../kernel/http/lists.ts";
import { refusals } from "../../kernel/http/refusals.ts";
import { requireBuilt, requireRevision, requireTimeline, type RevisionContext } from "../context.ts";
import { nameOf } from "../timelines.ts";

const path = "/api/v2/apps/{app}/timelines/{timeline}/traffic";
const params = z.object({
  app: z.string().describe("Id or slug."),
  timeline: z.string().describe("`production`, or `git-branch:<branch>` with the branch percent-encoded."),
});

const getRoute = createRoute({
  method: "get",
  path,
  summary: "How a timeline divides its requests among revisions",
  request: { params },
  responses: { 200: json("Who gets requests", timelineTraffic), ...refusals(401, 403, 404) },
});
const putRoute = createRoute({
  method: "put",
  path,
  summary: "Divide the requests of a timeline among revisions, when all of them listen",
  request: { params, body: { required: true, content: { "application/json": { schema: timelineTraffic } } } },
  responses: { 200: json("Who gets requests", timelineTraffic), ...refusals(400, 401, 403, 404, 409, 413, 502, 503) },
});
const deleteRoute = createRoute({
  method: "delete",
  path,
  summary: "Give all requests to the timeline's own revision",
  request: { params },
  responses: { 204: { description: "It gets them." }, ...refusals(401, 403, 404) },
});

export function trafficRoutes(ctx: RevisionContext): (app: OpenAPIHono<HttpVariables>) => void {
  const show = async (row: Parameters<typeof ctx.traffic.of>[0]) => {
    const shares = await ctx.traffic.of(row);
    return { revisions: shares.map(({ revisionId, weight }) => ({ revision: revisionId, weight })) };
  };
  return (app) => {
    app.openapi(getRoute, async (c) => {
      const { app: idOrSlug, timeline } = c.req.valid("param");
      const owner = await ctx.apps.require(c.get("org").id, idOrSlug);
      return c.json(await show(await requireTimeline(ctx, owner, timeline)), 200);
    });
    app.openapi(putRoute, async (c) => {
      const { app: idOrSlug, timeline } = c.req.valid("param");
      const owner = await ctx.apps.require(c.get("org").id, idOrSlug);
      const row = await requireTimeline(ctx, owner, timeline);
      if (row.slug === "preview")
        throw new CaissonError("invalid_argument", "A preview serves its own revision. Divide production or a branch.");
      const { revisions } = c.req.valid("json");
      if (new Set(revisions.map(({ revision }) => revision)).size < revisions.length)
        throw new CaissonError("invalid_argument", "A revision is named twice.");
      if (revisions.every(({ weight }) => weight === 0))
        throw new CaissonError("invalid_argument", "At least one weight must be above 0.");
      const all = await Promise.all(revisions.map(({ revision }) => requireRevision(ctx, c.get("org").id, revision)));
      for (const revision of all) requireBuilt(revision, owner);
      const wanted = revisions.filter(({ weight }) => weight > 0);
      const serving = new Set(wanted.map(({ revision }) => revision));
      // At the same time: an instance that nobody uses is kept for moments only.
      await Promise.all(all.filter(({ id }) => serving.has(id)).map((revision) => ctx.ready(revision, nameOf(row))));
      await ctx.traffic.set(
        row.id,
        wanted.map(({ revision, weight }) => ({ revisionId: revision, weight })),
      );
      ctx.routed();
      return c.json(await show(row), 200);
    });
    app.openapi(deleteRoute, async (c) => {
      const { app: idOrSlug, timeline } = c.req.valid("param");
      const owner = await ctx.apps.require(c.get("org").id, idOrSlug);
      const row = await requireTimeline(ctx, owner, timeline);
      const own = await ctx.store.get(row.revision_id);
      if (own !== undefined) await ctx.ready(own, nameOf(row));
      await ctx.traffic.clear(row.id);
      ctx.routed();
      return c.body(null, 204);
    });
  };
}

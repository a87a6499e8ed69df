/**
 * REST for timelines (wire contract 1.7): what they are, and which revision they serve. A pinned timeline keeps its revision: new ones do
 * not replace it.
 */
import { timelineSchema } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { HttpVariables } from "../../kernel/http/context.ts";
import { json, pageQuery, readRows } from "../../kernel/http/lists.ts";
import { linkHeader } from "../../kernel/http/pagination.ts";
import { refusals } from "../../kernel/http/refusals.ts";
import { requireBuilt, requireRevision, requireTimeline, type RevisionContext } from "../context.ts";
import { toTimeline } from "../show.ts";
import { keyOf, parseTimeline, previewOf, production } from "../timelines.ts";
import type { RevisionRow } from "../tables.ts";
import type { TimelineName } from "../progress.ts";

const appParams = z.object({ app: z.string().describe("Id or slug.") });
const pinPath = "/api/v2/apps/{app}/timelines/{timeline}/pin";
const pinParams = appParams.extend({
  timeline: z
    .string()
    .describe("`production`, `preview:<revision>`, or `git-branch:<branch>` with the branch percent-encoded."),
});
const pinRequest = z.object({ revision: z.string().max(64) }).meta({ id: "PinRequest" });

const listRoute = createRoute({
  method: "get",
  path: "/api/v2/apps/{app}/timelines",
  summary: "List the timelines of an app, newest first",
  request: { params: appParams, query: z.object(pageQuery) },
  responses: {
    200: { ...json("A page", z.array(timelineSchema)), headers: linkHeader },
    ...refusals(400, 401, 403, 404),
  },
});
const promoteRoute = createRoute({
  method: "post",
  path: "/api/v2/revisions/{revision}/promote",
  summary: "Let the production timeline serve a revision that has been built, without a new build",
  request: { params: z.object({ revision: z.string() }) },
  responses: { 204: { description: "It serves it." }, ...refusals(401, 403, 404, 409) },
});
const pinRoute = createRoute({
  method: "put",
  path: pinPath,
  summary: "Let a timeline serve a revision, and keep it when there are newer ones",
  request: { params: pinParams, body: { required: true, content: { "application/json": { schema: pinRequest } } } },
  responses: { 204: { description: "Pinned" }, ...refusals(400, 401, 403, 404, 409, 413, 429) },
});
const unpinRoute = createRoute({
  method: "delete",
  path: pinPath,
  summary: "Let new revisions replace the one that a timeline serves",
  request: { params: pinParams },
  responses: { 204: { description: "Not pinned" }, ...refusals(400, 401, 403, 404) },
});

export function timelineRoutes(ctx: RevisionContext): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    app.openapi(listRoute, async (c) => {
      const owner = await ctx.apps.require(c.get("org").id, c.req.valid("param").app);
      const rows = await readRows(
        c,
        ctx.publicUrl,
        ({ limit, before }) => ctx.timelines.list(owner.id, limit, before),
        (row) => row,
      );
      return c.json(await Promise.all(rows.map((row) => toTimeline(row, owner, ctx.domains))), 200);
    });
    app.openapi(promoteRoute, async (c) => {
      const revision = await requireRevision(ctx, c.get("org").id, c.req.valid("param").revision);
      await serve(ctx, revision, production);
      return c.body(null, 204);
    });
    app.openapi(pinRoute, async (c) => {
      const { app: idOrSlug, timeline } = c.req.valid("param");
      const owner = await ctx.apps.require(c.get("org").id, idOrSlug);
      const revision = await requireRevision(ctx, c.get("org").id, c.req.valid("json").revision);
      requireBuilt(revision, owner);
      const name = parseTimeline(timeline);
      if (name.slug === "preview" && keyOf(name) !== keyOf(previewOf(revision.id)))
        throw new CaissonError("invalid_argument", "The preview of a revision serves this revision alone.");
      await serve(ctx, revision, name, true);
      return c.body(null, 204);
    });
    app.openapi(unpinRoute, async (c) => {
      const { app: idOrSlug, timeline } = c.req.valid("param");
      const owner = await ctx.apps.require(c.get("org").id, idOrSlug);
      const row = await requireTimeline(ctx, owner, timeline);
      await ctx.timelines.unpin(row.id);
      return c.body(null, 204);
    });
  };
}

/** @throws CaissonError `invalid_state` */
async function serve(
  ctx: RevisionContext,
  revision: RevisionRow,
  timeline: TimelineName,
  pin?: boolean,
): Promise<void> {
  requireBuilt(revision);
  await ctx.ready(revision, timeline);
  const { blocked } = await ctx.timelines.activate(revision, timeline, pin === undefined ? {} : { pin });
  ctx.routed();
  if (blocked)
    throw new CaissonError(
      "invalid_state",
      `The timeline ${keyOf(timeline)} is pinned to another revision. Unpin it first, or pin it to revision ${revision.id}.`,
    );
}

/** REST for revisions (wire contract 1.7, Appendix C). */
import {
  revisionListItem,
  revisionSchema,
  revisionStatuses,
  timelineSchema,
  updateRevisionRequest,
  type RevisionStatus,
} from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { HttpVariables } from "../../kernel/http/context.ts";
import { json, pageQuery, readRows } from "../../kernel/http/lists.ts";
import { linkHeader } from "../../kernel/http/pagination.ts";
import { refusals } from "../../kernel/http/refusals.ts";
import { requireRevision, type RevisionContext } from "../context.ts";
import { checkRetention } from "../create.ts";
import { toListItem, toRevision, toTimeline } from "../show.ts";
import type { RevisionRow } from "../tables.ts";

const params = z.object({ revision: z.string() });
const path = "/api/v2/revisions/{revision}";

export function revisionRoutes(ctx: RevisionContext): (app: OpenAPIHono<HttpVariables>) => void {
  const { store, removal, limits } = ctx;
  const show = (row: RevisionRow) => toRevision(row, store.variables(row));
  const listRoute = createRoute({
    method: "get",
    path: "/api/v2/apps/{app}/revisions",
    summary: "List the revisions of an app, newest first",
    request: {
      params: z.object({ app: z.string().describe("Id or slug.") }),
      query: z.object({
        ...pageQuery,
        status: z
          .string()
          .optional()
          .openapi({ enum: [...revisionStatuses] }),
      }),
    },
    responses: {
      200: { ...json("A page", z.array(revisionListItem)), headers: linkHeader },
      ...refusals(400, 401, 403, 404),
    },
  });
  const getRoute = createRoute({
    method: "get",
    path,
    summary: "Get a revision; for 30 days also a deleted one",
    request: { params },
    responses: { 200: json("The revision", revisionSchema), ...refusals(401, 403, 404) },
  });
  const updateRoute = createRoute({
    method: "patch",
    path,
    summary: "Decide whether a revision is removed when nobody uses it",
    request: {
      params,
      body: { required: true, content: { "application/json": { schema: updateRevisionRequest } } },
    },
    responses: { 200: json("The revision", revisionSchema), ...refusals(400, 401, 403, 404, 413) },
  });
  const deleteRoute = createRoute({
    method: "delete",
    path,
    summary: "Delete a revision that is neither active nor being built",
    request: { params },
    responses: { 204: { description: "Deleted" }, ...refusals(401, 403, 404, 409) },
  });
  const cancelRoute = createRoute({
    method: "post",
    path: `${path}/cancel`,
    summary: "Ask for the end of a build. It ends soon after the answer",
    request: { params },
    responses: { 200: json("The revision", revisionSchema), ...refusals(401, 403, 404, 409) },
  });
  const timelinesRoute = createRoute({
    method: "get",
    path: `${path}/timelines`,
    summary: "List the timelines that serve a revision",
    request: { params },
    responses: { 200: json("All of them", z.array(timelineSchema)), ...refusals(401, 403, 404) },
  });

  return (app) => {
    app.openapi(listRoute, async (c) => {
      const { id } = await ctx.apps.require(c.get("org").id, c.req.valid("param").app);
      const rows = await readRows(
        c,
        ctx.publicUrl,
        ({ query, limit, before }) => store.list({ appId: id, status: readStatus(query), limit, before }),
        (row) => row,
      );
      return c.json(
        rows.map((row) => toListItem(row)),
        200,
      );
    });
    app.openapi(getRoute, async (c) =>
      c.json(show(await requireRevision(ctx, c.get("org").id, c.req.valid("param").revision)), 200),
    );
    app.openapi(updateRoute, async (c) => {
      const { id } = await existing(ctx, c.get("org").id, c.req.valid("param").revision);
      const { retention } = c.req.valid("json");
      if (retention === "indefinite") checkRetention(limits.allowIndefiniteRetention);
      return c.json(show(await store.set(id, { retention })), 200);
    });
    app.openapi(deleteRoute, async (c) => {
      const { id } = await existing(ctx, c.get("org").id, c.req.valid("param").revision);
      await removal.delete(id);
      return c.body(null, 204);
    });
    app.openapi(cancelRoute, async (c) => {
      const { id, status } = await existing(ctx, c.get("org").id, c.req.valid("param").revision);
      if (!(await store.requestCancellation(id)))
        throw new CaissonError("invalid_state", `Revision ${id} cannot be cancelled: its build has ended (${status}).`);
      ctx.cancelled(id);
      return c.json(show(await requireRevision(ctx, c.get("org").id, id)), 200);
    });
    app.openapi(timelinesRoute, async (c) => {
      const { id, app_id } = await requireRevision(ctx, c.get("org").id, c.req.valid("param").revision);
      const owner = await ctx.apps.require(c.get("org").id, app_id);
      const rows = await ctx.timelines.of(id);
      return c.json(await Promise.all(rows.map((row) => toTimeline(row, owner, ctx.domains))), 200);
    });
  };
}

/** One that is not deleted. @throws CaissonError `not_found` */
async function existing(ctx: RevisionContext, orgId: string, id: string): Promise<RevisionRow> {
  const row = await requireRevision(ctx, orgId, id);
  if (row.deleted_at !== null)
    throw new CaissonError("not_found", `Revision ${id} was deleted.`, { wireCode: "REVISION_NOT_FOUND" });
  return row;
}

function readStatus(query: URLSearchParams): RevisionStatus | undefined {
  const text = query.getAll("status").at(-1);
  if (text === undefined || text === "") return undefined;
  const status = revisionStatuses.find((name) => name === text);
  if (status === undefined)
    throw new CaissonError(
      "invalid_argument",
      `The query parameter \`status\` must be one of ${revisionStatuses.join(", ")}.`,
    );
  return status;
}

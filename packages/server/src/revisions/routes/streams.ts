/** Progress and build logs as streams (wire contract 1.9). */
import { buildLogEntry, buildSteps, revisionProgress } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { HttpVariables } from "../../kernel/http/context.ts";
import { refusals } from "../../kernel/http/refusals.ts";
import { requireRevision, type RevisionContext } from "../context.ts";
import { buildLogsOf, type BuildLogFilter } from "../streams/build-logs.ts";
import { progressOf } from "../streams/progress.ts";
import { streamResponse } from "./stream-response.ts";

const params = z.object({ revision: z.string() });
const streamOf = (schema: z.ZodType) => ({
  description: "Server-sent events; one JSON value a line when `Accept` names `application/x-ndjson`.",
  content: { "text/event-stream": { schema }, "application/x-ndjson": { schema } },
});

const progressRoute = createRoute({
  method: "get",
  path: "/api/v2/revisions/{revision}/progress",
  summary: "Follow a build: its state now and after each change, until its end",
  request: { params },
  responses: { 200: streamOf(revisionProgress), ...refusals(401, 403, 404, 429) },
});

const buildLogsRoute = createRoute({
  method: "get",
  path: "/api/v2/revisions/{revision}/build_logs",
  summary: "Read the build log from its beginning, and follow it until the build's end",
  request: {
    params,
    query: z.object({
      step: z
        .string()
        .optional()
        .openapi({ enum: [...buildSteps] }),
      timeline: z.string().optional().openapi({ description: "Slug of a timeline. Only of the step `deploying`." }),
    }),
  },
  responses: { 200: streamOf(buildLogEntry), ...refusals(400, 401, 403, 404, 429) },
});

export function streamRoutes(ctx: RevisionContext): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    // The body of a stream has no type here.
    app.openapi(progressRoute, (async (c: Context<HttpVariables>) => {
      const { id } = await requireRevision(ctx, c.get("org").id, c.req.param("revision") ?? "");
      return streamResponse(c, ctx, (signal) => progressOf(ctx, id, signal));
    }) as never);
    app.openapi(buildLogsRoute, (async (c: Context<HttpVariables>) => {
      const filter = readFilter(new URL(c.req.url).searchParams);
      const { id } = await requireRevision(ctx, c.get("org").id, c.req.param("revision") ?? "");
      return streamResponse(c, ctx, (signal) => buildLogsOf(ctx, id, filter, signal));
    }) as never);
  };
}

function readFilter(query: URLSearchParams): BuildLogFilter {
  const [text, timeline] = ["step", "timeline"].map((name) => query.getAll(name).findLast((value) => value !== ""));
  const step = buildSteps.find((name) => name === text);
  if (text !== undefined && step === undefined)
    throw new CaissonError("invalid_argument", `The query parameter \`step\` must be one of ${buildSteps.join(", ")}.`);
  return { step, timeline };
}

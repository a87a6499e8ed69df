/** Runtime logs of an app (wire contract 1.7, Appendix C): by page, or as a stream. */
import { logLevels, runtimeLog, runtimeLogPage } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { HttpVariables } from "../../kernel/http/context.ts";
import { decodeCursor, encodeCursor } from "../../kernel/http/cursor.ts";
import { linkHeader, nextLink, pageParameters, readPage } from "../../kernel/http/pagination.ts";
import { refusals } from "../../kernel/http/refusals.ts";
import type { RevisionContext } from "../context.ts";
import { toRuntimeLog, type RuntimeLogFilter, type RuntimeLogPosition } from "../logs/read-runtime-logs.ts";
import { formatFor } from "../streams/format.ts";
import { followRuntimeLogs } from "../streams/runtime-logs.ts";
import { streamResponse } from "./stream-response.ts";

const standardPage = 100;
const largestPage = 1000;
/** Characters. */
const longestQuery = 256;

const route = createRoute({
  method: "get",
  path: "/api/v2/apps/{app}/logs",
  summary: "What the code of an app printed, oldest first: a page, or a stream that goes on",
  request: {
    params: z.object({ app: z.string().describe("Id or slug.") }),
    query: z.object({
      start: z.string().openapi({ description: "ISO 8601. Lines of this time or later." }),
      end: z
        .string()
        .optional()
        .openapi({ description: "ISO 8601. Lines before this time. Default: now; of a stream: none." }),
      revision_id: z.string().optional(),
      level: z
        .string()
        .optional()
        .openapi({ enum: [...logLevels], description: "Lowest level." }),
      query: z
        .string()
        .optional()
        .openapi({ description: "Part of the message, at most 256 characters, in any case." }),
      stream: z
        .string()
        .optional()
        .openapi({ description: "`true`: a stream. Also when `Accept` names the form of one." }),
      ...pageParameters(largestPage),
    }),
  },
  responses: {
    200: {
      description:
        "A page. It can have fewer lines than `limit`, or none, although there is a next one: a page looks at a limited number of lines.",
      headers: linkHeader,
      content: {
        "application/json": { schema: runtimeLogPage },
        "text/event-stream": { schema: runtimeLog },
        "application/x-ndjson": { schema: runtimeLog },
      },
    },
    ...refusals(400, 401, 403, 404, 429),
  },
});

export function appLogRoutes(ctx: RevisionContext): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    // Two kinds of bodies have no type here.
    app.openapi(route, ((c: Context<HttpVariables>) => read(c, ctx)) as never);
  };
}

async function read(c: Context<HttpVariables>, ctx: RevisionContext): Promise<Response> {
  const query = new URL(c.req.url).searchParams;
  const accept = c.req.header("accept") ?? "";
  const app = await ctx.apps.require(c.get("org").id, c.req.param("app") ?? "");
  const filter = readFilter(query, app.id);
  if (query.getAll("stream").at(-1) === "true" || /text\/event-stream|application\/x-ndjson/i.test(accept)) {
    const format = /text\/event-stream/i.test(accept) ? formatFor(accept) : "ndjson";
    return streamResponse(c, ctx, (signal) => followRuntimeLogs(ctx, filter, signal), format);
  }
  const { limit, cursor } = readPage(query, { standard: standardPage, most: largestPage });
  const after = cursor === undefined ? undefined : positionOf(cursor);
  await ctx.runtimeLogs.flush();
  const page = { ...filter, end: Math.min(filter.end, Date.now() + 1) };
  const { rows, next } = await ctx.reader.page(page, limit, { after });
  const next_cursor = next === undefined ? null : encodeCursor({ created_at: next.at, id: next.id });
  if (next_cursor !== null) c.header("Link", nextLink(ctx.publicUrl(), c.req.path, query, next_cursor));
  return c.json({ logs: rows.map((row) => toRuntimeLog(row)), next_cursor }, 200);
}

/** @throws CaissonError `invalid_argument` */
function positionOf(cursor: string): RuntimeLogPosition {
  const { createdAt, id } = decodeCursor(cursor);
  return { at: createdAt, id };
}

/** @throws CaissonError `invalid_argument` */
function readFilter(query: URLSearchParams, appId: string): RuntimeLogFilter {
  const last = (name: string) => query.getAll(name).findLast((value) => value !== "");
  const text = last("level");
  const level = logLevels.findIndex((name) => name === text);
  if (text !== undefined && level === -1)
    throw new CaissonError("invalid_argument", `The query parameter \`level\` must be one of ${logLevels.join(", ")}.`);
  const start = last("start");
  if (start === undefined)
    throw new CaissonError(
      "invalid_argument",
      "The query parameter `start` is missing. Write the time of the first line (ISO 8601).",
    );
  const end = last("end");
  return {
    appId,
    start: readTime("start", start),
    end: end === undefined ? Number.POSITIVE_INFINITY : readTime("end", end),
    revisionId: checkText("revision_id", last("revision_id"), 64),
    level: text === undefined ? undefined : level,
    query: checkText("query", last("query"), longestQuery),
  };
}

function checkText(name: string, text: string | undefined, longest: number): string | undefined {
  if (text !== undefined && (text.length > longest || text.includes("\0")))
    throw new CaissonError(
      "invalid_argument",
      `The query parameter \`${name}\` has at most ${longest} characters, and no NUL character.`,
    );
  return text;
}

function readTime(name: string, text: string): number {
  // A `+` of a time zone that was not percent-encoded is a space.
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text.trim().replace(/ (\d\d:?\d\d)$/, "+$1")) : Number.NaN;
  if (!Number.isSafeInteger(time) || time < 0)
    throw new CaissonError(
      "invalid_argument",
      `The query parameter \`${name}\` is not a time. Write it as ISO 8601, such as 2026-11-30T12:00:00Z.`,
    );
  return time;
}

/** Egress events over REST: pages of recorded ones, and a live stream. */
import { auditEvent, auditQuery, type AuditQuery } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { HttpBindings } from "@hono/node-server";
import type { HttpVariables } from "../kernel/http/context.ts";
import { foreignCursor } from "../kernel/http/cursor.ts";
import { linkHeader, nextLink, pageParameters, readPage } from "../kernel/http/pagination.ts";
import { refusals } from "../kernel/http/refusals.ts";
import type { LiveStreams } from "./live-streams.ts";
import type { AuditLog } from "./log.ts";
import { isAuditId, type AuditEntry, type AuditStore } from "./store.ts";

const mostInPage = 1000;

export interface AuditRoutesContext {
  readonly audit: AuditLog;
  readonly store: AuditStore;
  readonly streams: LiveStreams;
  readonly publicUrl: () => string;
}

type StreamContext = Context<HttpVariables & { Bindings: HttpBindings }>;

/** Filters for the API document. They are read from the URL, where an empty value counts as absent. */
const filters = {
  sandbox: z.string().optional().openapi({ description: "Id of a sandbox." }),
  host: z.string().optional().openapi({ description: "Name as the sandbox asked for it." }),
  verdict: z
    .string()
    .optional()
    .openapi({ enum: ["allowed", "refused", "failed"] }),
  since: z.string().optional().openapi({ description: "ISO time, or milliseconds since the epoch." }),
};

const listRoute = createRoute({
  method: "get",
  path: "/api/v1/audit",
  summary: "What sandboxes tried to reach, newest first",
  request: { query: z.object({ ...filters, ...pageParameters(mostInPage) }) },
  responses: {
    200: {
      description:
        "A page. It can have fewer entries than `limit`, or none, although there is a next one: a page looks at a limited number of events.",
      headers: linkHeader,
      content: { "application/json": { schema: z.array(auditEvent) } },
    },
    ...refusals(400, 401, 403),
  },
});

const streamRoute = createRoute({
  method: "get",
  path: "/api/v1/audit/stream",
  summary: "The same, live: one event of the stream for each",
  request: { query: z.object(filters) },
  responses: {
    200: { description: "Server-sent events", content: { "text/event-stream": { schema: auditEvent } } },
    ...refusals(400, 401, 403, 429),
  },
});

export function auditRoutes(context: AuditRoutesContext): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    app.openapi(listRoute, (c) => list(c, context));
    // The body of a stream has no type here.
    app.openapi(streamRoute, (c) => stream(c as unknown as StreamContext, context) as never);
  };
}

async function list(c: Context<HttpVariables>, context: AuditRoutesContext) {
  const query = new URL(c.req.url).searchParams;
  const { limit, cursor } = readPage(query, { standard: 100, most: mostInPage });
  if (cursor !== undefined && !isAuditId(cursor)) throw foreignCursor();
  const { sandbox, host, verdict, since } = readFilter(query);
  await context.audit.flush();
  const { entries, next } = await context.store.find({
    orgId: c.get("org").id,
    sandboxId: sandbox,
    host,
    verdict,
    since,
    limit,
    cursor,
  });
  if (next !== undefined) c.header("Link", nextLink(context.publicUrl(), c.req.path, query, next));
  return c.json(entries as z.infer<typeof auditEvent>[], 200);
}

function stream(c: StreamContext, { streams }: AuditRoutesContext): Response {
  const filter = readFilter(new URL(c.req.url).searchParams);
  const body = streams.open({
    orgId: c.get("org").id,
    matches: (entry) => matches(entry, filter),
    disconnect: () => c.env.outgoing.destroy(),
  });
  return c.body(body, 200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
}

function readFilter(query: URLSearchParams): AuditQuery {
  const parsed = auditQuery.safeParse(Object.fromEntries([...query].filter(([, value]) => value !== "")));
  if (!parsed.success) throw new CaissonError("invalid_argument", z.prettifyError(parsed.error));
  return parsed.data;
}

function matches(entry: AuditEntry, { sandbox, host, verdict, since }: AuditQuery): boolean {
  return (
    (sandbox === undefined || entry.sandboxId === sandbox) &&
    (host === undefined || entry.host === host) &&
    (verdict === undefined || entry.verdict === verdict) &&
    (since === undefined || entry.at >= since)
  );
}

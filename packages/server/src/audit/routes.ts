/** What sandboxes tried to reach: pages of the past, and a live stream. */
import { CaissonError } from "@caisson/protocol";
import { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { z } from "zod";
import type { AuditEntry } from "../store/audit.ts";
import type { HttpVariables, ServerContext } from "./context.ts";
import { nextLink, readPage } from "./pagination.ts";
import { auditQuery } from "./schemas.ts";

/** Milliseconds between comments that keep proxies from closing a quiet stream. */
const keepAlive = 15_000;
/** Events that wait for a slow reader; then its stream is ended, and it can come back with `since`. */
const maxWaiting = 1000;

export function auditRoutes(context: ServerContext): Hono<HttpVariables> {
  const app = new Hono<HttpVariables>();

  app.get("/api/v1/audit", async (c) => {
    const query = new URL(c.req.url).searchParams;
    const { limit, cursor } = readPage(query, { standard: 100, most: 1000 });
    const { sandbox, host, verdict, since } = readFilter(query);
    await context.audit.flush();
    const entries = await context.auditStore.find({
      orgId: c.get("org").id,
      sandboxId: sandbox,
      host,
      verdict,
      since,
      limit: limit + 1,
      cursor,
    });
    const page = entries.slice(0, limit);
    const last = page.at(-1);
    if (entries.length > limit && last !== undefined)
      c.header("Link", nextLink(context.publicUrl(), c.req.path, query, last.id));
    return c.json(page);
  });

  app.get("/api/v1/audit/stream", (c) => {
    const filter = readFilter(new URL(c.req.url).searchParams);
    const orgId = c.get("org").id;
    return streamSSE(c, async (stream) => {
      const waiting: AuditEntry[] = [];
      let wake = () => {};
      const ended = new AbortController();
      const end = () => {
        ended.abort();
        wake();
      };
      const unsubscribe = context.audit.subscribe((eventOrg, entry) => {
        if (eventOrg !== orgId || !matches(entry, filter)) return;
        waiting.push(entry);
        if (waiting.length > maxWaiting) end();
        wake();
      });
      stream.onAbort(end);
      const timer = setInterval(() => void stream.write(": keep-alive\n\n"), keepAlive);
      try {
        await stream.write(": open\n\n");
        while (!ended.signal.aborted) {
          for (const entry of waiting.splice(0)) await stream.writeSSE({ id: entry.id, data: JSON.stringify(entry) });
          if (waiting.length === 0 && !ended.signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        clearInterval(timer);
        unsubscribe();
      }
    });
  });
  return app;
}

type Filter = z.infer<typeof auditQuery>;

function readFilter(query: URLSearchParams): Filter {
  const parsed = auditQuery.safeParse(Object.fromEntries([...query].filter(([, value]) => value !== "")));
  if (!parsed.success) throw new CaissonError("invalid_argument", z.prettifyError(parsed.error));
  return parsed.data;
}

function matches(entry: AuditEntry, { sandbox, host, verdict, since }: Filter): boolean {
  return (
    (sandbox === undefined || entry.sandboxId === sandbox) &&
    (host === undefined || entry.host === host) &&
    (verdict === undefined || entry.verdict === verdict) &&
    (since === undefined || entry.at >= since)
  );
}

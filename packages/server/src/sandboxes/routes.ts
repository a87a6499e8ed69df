/** REST for sandboxes (wire contract 1.6). Both clients' paths are served on every base. */
import { CaissonError, sandboxIdPattern } from "@caisson/protocol";
import { Hono, type Context } from "hono";
import { closeCodes } from "../lifecycle/sandboxes.ts";
import type { SandboxRow } from "../store/sandboxes.ts";
import type { HttpVariables, ServerContext } from "./context.ts";
import { readJson } from "./body.ts";
import { readLabelFilter } from "./labels.ts";
import { nextLink, readPage } from "./pagination.ts";
import { extendRequest } from "./schemas.ts";

export function sandboxRoutes(context: ServerContext): Hono<HttpVariables> {
  const app = new Hono<HttpVariables>();
  const { sandboxes, previews } = context;

  for (const path of ["/api/v2/sandboxes", "/api/v3/sandboxes"]) app.get(path, (c) => list(c, context));

  for (const path of ["/api/v3/sandbox/:id", "/api/v3/sandboxes/:id"]) {
    app.delete(path, async (c) => {
      const row = await findOwn(c, context);
      await sandboxes.stop(row.id, "killed", closeCodes.killed);
      return c.body(null, 204);
    });
    app.patch(path, async (c) => {
      const { stop_at_ms } = await readJson(c, extendRequest);
      const row = await findOwn(c, context);
      return c.json({ stop_at_ms: await sandboxes.extend(row.id, stop_at_ms) });
    });
  }

  // The Python client sends what it will bind the name to, and binds it by RPC all the same.
  app.post("/api/v3/sandbox/:id/expose/http", async (c) => {
    const { id } = await findOwn(c, context);
    const sandbox = sandboxes.get(id);
    if (sandbox === undefined || sandbox.ended) throw new CaissonError("gone", `Sandbox ${id} has ended.`);
    return c.json({ domain: await previews.reserve(sandbox) });
  });
  app.post("/api/v3/sandbox/:id/expose/:what{ssh|vscode}", async (c) => {
    await findOwn(c, context);
    throw new CaissonError("unsupported", "This server offers neither SSH nor VS Code from outside yet.");
  });
  return app;
}

/** @throws CaissonError `not_found`: also for a sandbox of another organisation, which this one must not learn about */
async function findOwn(c: Context<HttpVariables>, { sandboxStore }: ServerContext): Promise<SandboxRow> {
  const id = c.req.param("id") ?? "";
  const row = sandboxIdPattern.test(id) ? await sandboxStore.get(id) : undefined;
  if (row === undefined || row.org_id !== c.get("org").id)
    throw new CaissonError("not_found", `There is no sandbox ${id.slice(0, 64)}.`);
  return row;
}

async function list(c: Context<HttpVariables>, context: ServerContext): Promise<Response> {
  const query = new URL(c.req.url).searchParams;
  const { limit, cursor } = readPage(query, { standard: 1000, most: 1000 });
  const rows = await context.sandboxStore.list({
    orgId: c.get("org").id,
    labels: readLabelFilter(query),
    limit: limit + 1,
    before: cursor === undefined ? undefined : decodeCursor(cursor),
  });
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  // The JavaScript client does not page here and ignores the header.
  if (rows.length > limit && last !== undefined)
    c.header("Link", nextLink(context.publicUrl(), c.req.path, query, encodeCursor(last)));
  return c.json(page.map(toListItem));
}

function toListItem(row: SandboxRow) {
  return {
    id: row.id,
    createdAt: new Date(row.created_at).toISOString(),
    stoppedAt: row.stopped_at === null ? null : new Date(row.stopped_at).toISOString(),
    region: row.region,
    status: row.phase === "creating" || row.phase === "running" ? "running" : "stopped",
    labels: JSON.parse(row.labels) as Record<string, string>,
  };
}

function encodeCursor({ created_at, id }: SandboxRow): string {
  return Buffer.from(`${created_at} ${id}`).toString("base64url");
}

function decodeCursor(cursor: string): { createdAt: number; id: string } {
  const [, createdAt, id = ""] =
    /^(\d{1,15}) (\S{1,64})$/.exec(Buffer.from(cursor, "base64url").toString("utf8")) ?? [];
  if (createdAt === undefined)
    throw new CaissonError("invalid_argument", "The cursor is not one that this server gave.");
  return { createdAt: Number(createdAt), id };
}

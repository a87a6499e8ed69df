/** REST for volumes and snapshots (wire contract 1.7). A resource is named by id or slug. */
import {
  createVolumeRequest,
  snapshotRequest,
  snapshotSchema,
  volumeSchema,
  type Snapshot,
  type Volume,
} from "@caisson/api";
import { createRoute, z, type OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { HttpVariables } from "../kernel/http/context.ts";
import { decodeCursor, encodeCursor, type Position } from "../kernel/http/cursor.ts";
import { linkHeader, nextLink, pageParameters, readPage } from "../kernel/http/pagination.ts";
import { refusals } from "../kernel/http/refusals.ts";
import type { SnapshotRow } from "../layers/tables.ts";
import { parseCapacity } from "./capacity.ts";
import type { VolumeWithBase } from "./lookup.ts";
import type { Volumes } from "./volumes.ts";

export interface VolumeRoutesContext {
  readonly volumes: Volumes;
  readonly config: { readonly sandbox: { readonly region: string } };
  readonly publicUrl: () => string;
}

const standardPage = 30;
const largestPage = 1000;

const json = <T extends z.ZodType>(description: string, schema: T) => ({
  description,
  content: { "application/json": { schema } },
});
const body = <T extends z.ZodType>(schema: T) => ({
  body: { required: true, content: { "application/json": { schema } } },
});
const volumeParameter = z.object({ volume: z.string().describe("Id or slug.") });
const snapshotParameter = z.object({ snapshot: z.string().describe("Id or slug.") });
const listQuery = z.object({
  ...pageParameters(largestPage),
  search: z.string().optional().openapi({ description: "Part of the slug or of the id." }),
});
const list = <T extends z.ZodType>(path: string, summary: string, schema: T) =>
  createRoute({
    method: "get",
    path,
    summary,
    request: { query: listQuery },
    responses: { 200: { ...json("A page", z.array(schema)), headers: linkHeader }, ...refusals(400, 401, 403) },
  });

const routes = {
  create: createRoute({
    method: "post",
    path: "/api/v2/volumes",
    summary: "Create a volume",
    request: body(createVolumeRequest),
    responses: { 200: json("The new volume", volumeSchema), ...refusals(400, 401, 403, 404, 409, 413, 429) },
  }),
  list: list("/api/v2/volumes", "List volumes, newest first", volumeSchema),
  get: createRoute({
    method: "get",
    path: "/api/v2/volumes/{volume}",
    summary: "Get a volume",
    request: { params: volumeParameter },
    responses: { 200: json("The volume", volumeSchema), ...refusals(401, 403, 404) },
  }),
  delete: createRoute({
    method: "delete",
    path: "/api/v2/volumes/{volume}",
    summary: "Delete a volume that no sandbox uses",
    request: { params: volumeParameter },
    responses: { 204: { description: "Deleted" }, ...refusals(401, 403, 404, 409) },
  }),
  snapshot: createRoute({
    method: "post",
    path: "/api/v2/volumes/{volume}/snapshot",
    summary: "Take a snapshot of a volume, mounted or not",
    request: { params: volumeParameter, ...body(snapshotRequest) },
    responses: {
      200: json("The new snapshot", snapshotSchema),
      ...refusals(400, 401, 403, 404, 409, 413, 429, 502, 503),
    },
  }),
  listSnapshots: list("/api/v2/snapshots", "List snapshots, newest first", snapshotSchema),
  getSnapshot: createRoute({
    method: "get",
    path: "/api/v2/snapshots/{snapshot}",
    summary: "Get a snapshot",
    request: { params: snapshotParameter },
    responses: { 200: json("The snapshot", snapshotSchema), ...refusals(401, 403, 404) },
  }),
  deleteSnapshot: createRoute({
    method: "delete",
    path: "/api/v2/snapshots/{snapshot}",
    summary: "Delete a snapshot. Volumes that were created from it keep its data.",
    request: { params: snapshotParameter },
    responses: { 204: { description: "Deleted" }, ...refusals(401, 403, 404) },
  }),
};

export function volumeRoutes({
  volumes,
  config,
  publicUrl,
}: VolumeRoutesContext): (app: OpenAPIHono<HttpVariables>) => void {
  return (app) => {
    app.openapi(routes.create, async (c) => {
      const { slug, region, capacity, from } = c.req.valid("json");
      const made = await volumes.create(c.get("org").id, {
        slug,
        region: region ?? config.sandbox.region,
        capacity: parseCapacity(capacity),
        from: from === null || from === "" ? undefined : from,
      });
      return c.json(toVolume(made), 200);
    });
    app.openapi(routes.list, async (c) => {
      const rows = await readRows(
        c,
        (request) => volumes.list({ ...request, orgId: c.get("org").id }),
        ({ volume }) => volume,
      );
      return c.json(rows.map(toVolume), 200);
    });
    app.openapi(routes.get, async (c) => {
      return c.json(toVolume(await volumes.get(c.get("org").id, c.req.valid("param").volume)), 200);
    });
    app.openapi(routes.delete, async (c) => {
      await volumes.delete(c.get("org").id, c.req.valid("param").volume);
      return c.body(null, 204);
    });
    app.openapi(routes.snapshot, async (c) => {
      const { slug } = c.req.valid("json");
      return c.json(toSnapshot(await volumes.snapshot(c.get("org").id, c.req.valid("param").volume, slug)), 200);
    });
    app.openapi(routes.listSnapshots, async (c) => {
      const rows = await readRows(
        c,
        (request) => volumes.listSnapshots({ ...request, orgId: c.get("org").id }),
        (row) => row,
      );
      return c.json(rows.map(toSnapshot), 200);
    });
    app.openapi(routes.getSnapshot, async (c) => {
      return c.json(toSnapshot(await volumes.getSnapshot(c.get("org").id, c.req.valid("param").snapshot)), 200);
    });
    app.openapi(routes.deleteSnapshot, async (c) => {
      await volumes.deleteSnapshot(c.get("org").id, c.req.valid("param").snapshot);
      return c.body(null, 204);
    });
  };

  async function readRows<T>(
    c: Context<HttpVariables>,
    find: (request: { search: string | undefined; limit: number; before: Position | undefined }) => Promise<T[]>,
    rowOf: (item: T) => { created_at: number; id: string },
  ): Promise<T[]> {
    const query = new URL(c.req.url).searchParams;
    const { limit, cursor } = readPage(query, { standard: standardPage, most: largestPage });
    const search = query.getAll("search").at(-1)?.slice(0, 64);
    const rows = await find({
      search,
      limit: limit + 1,
      before: cursor === undefined ? undefined : decodeCursor(cursor),
    });
    const last = rows.length > limit ? rows[limit - 1] : undefined;
    if (last !== undefined) c.header("Link", nextLink(publicUrl(), c.req.path, query, encodeCursor(rowOf(last))));
    return rows.slice(0, limit);
  }
}

function toVolume({ volume, base }: VolumeWithBase): Volume {
  return {
    id: volume.id,
    slug: volume.slug,
    region: volume.region,
    capacity: volume.capacity,
    estimated_allocated_size: volume.allocated_bytes,
    estimated_flattened_size: volume.flattened_bytes,
    is_bootable: volume.bootable === 1,
    base_snapshot: base,
  };
}

function toSnapshot(row: SnapshotRow): Snapshot {
  return {
    id: row.id,
    slug: row.slug,
    region: row.region,
    allocated_size: row.allocated_bytes,
    flattened_size: row.flattened_bytes,
    is_bootable: row.bootable === 1,
    volume: { id: row.volume, slug: row.volume_slug },
  };
}

/** REST for volumes and snapshots (wire contract 1.7). A resource is named by id or slug. */
import { CaissonError } from "@caisson/protocol";
import { Hono, type Context } from "hono";
import type { z } from "zod";
import { readJson } from "../http/body.ts";
import type { HttpVariables } from "../http/context.ts";
import { nextLink, readPage } from "../http/pagination.ts";
import { parseCapacity } from "./capacity.ts";
import type { VolumeWithBase } from "./lookup.ts";
import { createVolumeRequest, snapshotRequest, type snapshotSchema, type volumeSchema } from "./schemas.ts";
import type { SnapshotRow } from "./tables.ts";
import type { Volumes } from "./volumes.ts";

export interface VolumeRoutesContext {
  readonly volumes: Volumes;
  readonly config: { readonly sandbox: { readonly region: string } };
  readonly publicUrl: () => string;
}

const standardPage = 30;
const largestPage = 1000;

export function volumeRoutes({ volumes, config, publicUrl }: VolumeRoutesContext): Hono<HttpVariables> {
  const app = new Hono<HttpVariables>();
  const org = (c: Context<HttpVariables>) => c.get("org").id;

  app.post("/api/v2/volumes", async (c) => {
    const { slug, region, capacity, from } = await readJson(c, createVolumeRequest);
    const made = await volumes.create(org(c), {
      slug,
      region: region ?? config.sandbox.region,
      capacity: parseCapacity(capacity),
      from: from === null || from === "" ? undefined : from,
    });
    return c.json(toVolume(made));
  });
  app.get("/api/v2/volumes", async (c) => {
    const rows = await readRows(
      c,
      (request) => volumes.list({ ...request, orgId: org(c) }),
      ({ volume }) => volume,
    );
    return c.json(rows.map(toVolume));
  });
  app.get("/api/v2/volumes/:volume", async (c) => {
    const found = await volumes.get(org(c), c.req.param("volume"));
    if (found === undefined)
      throw new CaissonError("not_found", "There is no such volume.", { wireCode: "VOLUME_NOT_FOUND" });
    return c.json(toVolume(found));
  });
  app.delete("/api/v2/volumes/:volume", async (c) => {
    await volumes.delete(org(c), c.req.param("volume"));
    return c.body(null, 204);
  });
  app.post("/api/v2/volumes/:volume/snapshot", async (c) => {
    const { slug } = await readJson(c, snapshotRequest);
    return c.json(toSnapshot(await volumes.snapshot(org(c), c.req.param("volume"), slug)));
  });
  app.get("/api/v2/snapshots", async (c) => {
    const rows = await readRows(
      c,
      (request) => volumes.listSnapshots({ ...request, orgId: org(c) }),
      (row) => row,
    );
    return c.json(rows.map(toSnapshot));
  });
  app.get("/api/v2/snapshots/:snapshot", async (c) => {
    const found = await volumes.getSnapshot(org(c), c.req.param("snapshot"));
    if (found === undefined)
      throw new CaissonError("not_found", "There is no such snapshot.", { wireCode: "SNAPSHOT_NOT_FOUND" });
    return c.json(toSnapshot(found));
  });
  app.delete("/api/v2/snapshots/:snapshot", async (c) => {
    await volumes.deleteSnapshot(org(c), c.req.param("snapshot"));
    return c.body(null, 204);
  });
  return app;

  async function readRows<T>(
    c: Context<HttpVariables>,
    list: (request: { search: string | undefined; limit: number; before: Position | undefined }) => Promise<T[]>,
    rowOf: (item: T) => { created_at: number; id: string },
  ): Promise<T[]> {
    const query = new URL(c.req.url).searchParams;
    const { limit, cursor } = readPage(query, { standard: standardPage, most: largestPage });
    const search = query.getAll("search").at(-1)?.slice(0, 64);
    const rows = await list({
      search,
      limit: limit + 1,
      before: cursor === undefined ? undefined : decodeCursor(cursor),
    });
    const last = rows.length > limit ? rows[limit - 1] : undefined;
    if (last !== undefined) c.header("Link", nextLink(publicUrl(), c.req.path, query, encodeCursor(rowOf(last))));
    return rows.slice(0, limit);
  }
}

function toVolume({ volume, base }: VolumeWithBase): z.infer<typeof volumeSchema> {
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

function toSnapshot(row: SnapshotRow): z.infer<typeof snapshotSchema> {
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

interface Position {
  readonly createdAt: number;
  readonly id: string;
}

function encodeCursor({ created_at, id }: { created_at: number; id: string }): string {
  return Buffer.from(`${created_at} ${id}`).toString("base64url");
}

function decodeCursor(cursor: string): Position {
  const [, createdAt, id = ""] =
    /^(\d{1,15}) (\S{1,64})$/.exec(Buffer.from(cursor, "base64url").toString("utf8")) ?? [];
  if (createdAt === undefined)
    throw new CaissonError("invalid_argument", "The cursor is not one that this server gave.");
  return { createdAt: Number(createdAt), id };
}

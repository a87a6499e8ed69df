/** Finds volumes and snapshots: one by its id or slug, or a page of them. */
import { CaissonError } from "@caisson/protocol";
import type { SnapshotRow, VolumeDatabase, VolumeRow } from "../layers/tables.ts";

export async function findVolume(db: VolumeDatabase, orgId: string, idOrSlug: string): Promise<VolumeRow | undefined> {
  return db
    .selectFrom("volumes")
    .selectAll()
    .where("org_id", "=", orgId)
    .where("state", "=", "ready")
    .where((eb) => eb.or([eb("id", "=", idOrSlug), eb("slug", "=", idOrSlug)]))
    .executeTakeFirst();
}

export async function findSnapshot(
  db: VolumeDatabase,
  orgId: string,
  idOrSlug: string,
): Promise<SnapshotRow | undefined> {
  return db
    .selectFrom("snapshots")
    .selectAll()
    .where("org_id", "=", orgId)
    .where("state", "=", "ready")
    .where((eb) => eb.or([eb("id", "=", idOrSlug), eb("slug", "=", idOrSlug)]))
    .executeTakeFirst();
}

/** @throws CaissonError `not_found` */
export async function requireVolume(db: VolumeDatabase, orgId: string, idOrSlug: string): Promise<VolumeRow> {
  const volume = await findVolume(db, orgId, idOrSlug);
  if (volume === undefined)
    throw new CaissonError("not_found", `No such volume: \`${idOrSlug.slice(0, 64)}\`.`, {
      wireCode: "VOLUME_NOT_FOUND",
    });
  return volume;
}

/** @throws CaissonError `not_found` */
export async function requireSnapshot(db: VolumeDatabase, orgId: string, idOrSlug: string): Promise<SnapshotRow> {
  const snapshot = await findSnapshot(db, orgId, idOrSlug);
  if (snapshot === undefined)
    throw new CaissonError("not_found", `No such snapshot: \`${idOrSlug.slice(0, 64)}\`.`, {
      wireCode: "SNAPSHOT_NOT_FOUND",
    });
  return snapshot;
}

export interface PageRequest {
  readonly orgId: string;
  /** Part of the slug or of the id. */
  readonly search?: string | undefined;
  readonly limit: number;
  /** Rows older than this one. */
  readonly before?: { readonly createdAt: number; readonly id: string } | undefined;
}

export interface VolumeWithBase {
  readonly volume: VolumeRow;
  readonly base: { readonly id: string; readonly slug: string } | null;
}

export async function withBase(db: VolumeDatabase, volume: VolumeRow): Promise<VolumeWithBase> {
  const base =
    volume.base_snapshot === null
      ? undefined
      : await db
          .selectFrom("snapshots")
          .select(["id", "slug"])
          .where("id", "=", volume.base_snapshot)
          .executeTakeFirst();
  return { volume, base: base ?? null };
}

/** Newest first. */
export async function listVolumes(
  db: VolumeDatabase,
  { orgId, search, limit, before }: PageRequest,
): Promise<VolumeWithBase[]> {
  let query = db
    .selectFrom("volumes")
    .leftJoin("snapshots", "snapshots.id", "volumes.base_snapshot")
    .selectAll("volumes")
    .select("snapshots.slug as base_slug")
    .where("volumes.org_id", "=", orgId)
    .where("volumes.state", "=", "ready")
    .orderBy("volumes.created_at", "desc")
    .orderBy("volumes.id", "desc")
    .limit(limit);
  if (search !== undefined && search !== "") {
    const pattern = likePattern(search);
    query = query.where((eb) => eb.or([eb("volumes.slug", "like", pattern), eb("volumes.id", "like", pattern)]));
  }
  if (before !== undefined) {
    const { createdAt, id } = before;
    query = query.where((eb) =>
      eb.or([
        eb("volumes.created_at", "<", createdAt),
        eb.and([eb("volumes.created_at", "=", createdAt), eb("volumes.id", "<", id)]),
      ]),
    );
  }
  const rows = await query.execute();
  return rows.map(({ base_slug, ...volume }) => ({
    volume,
    base: volume.base_snapshot === null || base_slug === null ? null : { id: volume.base_snapshot, slug: base_slug },
  }));
}

/** Newest first. */
export async function listSnapshots(
  db: VolumeDatabase,
  { orgId, search, limit, before }: PageRequest,
): Promise<SnapshotRow[]> {
  let query = db
    .selectFrom("snapshots")
    .selectAll()
    .where("org_id", "=", orgId)
    .where("state", "=", "ready")
    .orderBy("created_at", "desc")
    .orderBy("id", "desc")
    .limit(limit);
  if (search !== undefined && search !== "") {
    const pattern = likePattern(search);
    query = query.where((eb) => eb.or([eb("slug", "like", pattern), eb("id", "like", pattern)]));
  }
  if (before !== undefined) {
    const { createdAt, id } = before;
    query = query.where((eb) =>
      eb.or([eb("created_at", "<", createdAt), eb.and([eb("created_at", "=", createdAt), eb("id", "<", id)])]),
    );
  }
  return query.execute();
}

/** Slugs and ids have only these characters. Any other becomes `?`, which finds nothing. `_` matches any character in SQL, also itself. */
function likePattern(search: string): string {
  return `%${search.toLowerCase().replaceAll(/[^a-z0-9_-]/g, "?")}%`;
}

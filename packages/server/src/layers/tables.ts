/** Rows of volumes, snapshots and the image layers under them. Times are milliseconds since the Unix epoch; flags are 0 or 1. */
import type { Insertable, Kysely, Selectable, Transaction } from "kysely";
import type { OrgTables } from "../orgs/tables.ts";

/**
 * `creating`: its image may not exist yet. `swapping`: its image is being replaced by one with the same content.
 * `removing`: nothing uses it and its image is being removed.
 */
export type LayerState = "creating" | "ready" | "swapping" | "removing";

/**
 * `plain`: part of an ordinary file system. `root`: part of the writable part of a root file system. `builtin`: the empty bottom of all
 * `root` layers of one size. `ephemeral`: removed with its sandbox.
 */
export type LayerKind = "plain" | "root" | "builtin" | "ephemeral";

export interface LayerTable {
  id: string;
  /** The node that stores its image. Null in the database: written before there were nodes. */
  node_id: string;
  /** Whose data it holds. Null: the built-in image, which all organisations share. */
  org_id: string | null;
  parent: string | null;
  kind: LayerKind;
  state: LayerState;
  sealed: number;
  /** What its image takes on the disk, when it no longer changes: sealed, or the head of a deleted volume. Null before. */
  bytes: number | null;
  /** Bytes of data of the fresh file system, in a layer without parent; otherwise 0. */
  formatted_bytes: number;
  /** Grows when a machine gets the layer for writing. Copies that were made before are then stale. */
  generation: number;
  /** SHA-256 of the sealed image, when it has been computed. */
  checksum: string | null;
  /**
   * Sandbox whose machine wrote the layer before it was sealed, until that machine has ended. A monitor keeps its writable descriptor
   * of the image, so a compromised one can change even a sealed layer.
   */
  held_by: string | null;
  created_at: number;
}

export interface VolumeTable {
  id: string;
  node_id: string;
  org_id: string;
  slug: string;
  region: string;
  /** Bytes. */
  capacity: number;
  bootable: number;
  /** Key of the base image under a root file system. */
  base_image: string | null;
  base_snapshot: string | null;
  /** `deleted`: its owner no longer sees it, and its data is kept until `reclaim_at`. */
  state: "creating" | "ready" | "deleted";
  head: string;
  /** Sandbox that has it mounted. */
  attached_to: string | null;
  allocated_bytes: number;
  flattened_bytes: number;
  measured_at: number;
  created_at: number;
  deleted_at: number | null;
  reclaim_at: number | null;
}

export interface SnapshotTable {
  id: string;
  node_id: string;
  org_id: string;
  slug: string;
  region: string;
  capacity: number;
  bootable: number;
  base_image: string | null;
  volume: string;
  /** Copied, because the volume may be deleted. */
  volume_slug: string;
  state: "creating" | "ready";
  layer: string;
  /** While `creating`: the layer that the volume will write to. */
  next_head: string | null;
  allocated_bytes: number;
  flattened_bytes: number;
  created_at: number;
}

/** Slugs of volumes and snapshots, unique in an organisation. */
export interface VolumeSlugTable {
  org_id: string;
  slug: string;
  owner: string;
}

/** A disk that a sandbox, or a machine that was prepared for one, uses. */
export interface DiskLeaseTable {
  node_id: string;
  sandbox: string;
  serial: string;
  layer: string;
  /** Null when the disk is the throw-away layer over a snapshot. */
  volume: string | null;
  created_at: number;
}

/** What was found damaged. See `damage.ts`. */
export interface DamageTable {
  node_id: string;
  /** Id of the layer, volume or snapshot. */
  subject: string;
  kind: "layer" | "volume" | "snapshot";
  /** For the operator. */
  reason: string;
  depth: "structure" | "content";
  found_at: number;
}

/** Copies at rest that belong to no layer in this database, which may be older than they are. */
export interface UnknownCopyTable {
  node_id: string;
  /** SHA-256, hexadecimal. */
  digest: string;
  found_at: number;
}

export interface VolumeTables {
  layers: LayerTable;
  volumes: VolumeTable;
  snapshots: SnapshotTable;
  volume_slugs: VolumeSlugTable;
  disk_leases: DiskLeaseTable;
  damages: DamageTable;
  unknown_copies: UnknownCopyTable;
}

export type VolumeDatabase = Kysely<VolumeTables & Pick<OrgTables, "orgs">>;
export type VolumeTransaction = Transaction<VolumeTables & Pick<OrgTables, "orgs">>;
export type LayerRow = Selectable<LayerTable>;
export type VolumeRow = Selectable<VolumeTable>;
export type SnapshotRow = Selectable<SnapshotTable>;
export type DamageRow = Selectable<DamageTable>;
export type NewLayer = Insertable<LayerTable>;

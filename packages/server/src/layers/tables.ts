/** Rows of volumes, snapshots and the image layers under them. Times are milliseconds since the Unix epoch; flags are 0 or 1. */
import type { Insertable, Kysely, Selectable, Transaction } from "kysely";
import type { OrgTables } from "../orgs/tables.ts";

/**
 * `creating`: named in the store, file not promised yet. `swapping`: its file is being replaced by one of the same content.
 * `removing`: nobody uses it any more, its file goes.
 */
export type LayerState = "creating" | "ready" | "swapping" | "removing";

/**
 * `plain`: below it is an ordinary file system. `root`: below it is the writable part of a root file system.
 * `builtin`: the empty start of all `root` layers of one size. `ephemeral`: goes with its sandbox.
 */
export type LayerKind = "plain" | "root" | "builtin" | "ephemeral";

export interface LayerTable {
  id: string;
  /** Where its file is. Null in the database: written before there were nodes. */
  node_id: string;
  parent: string | null;
  kind: LayerKind;
  state: LayerState;
  sealed: number;
  /** Bytes of data of the fresh file system, in a layer without parent; otherwise 0. */
  formatted_bytes: number;
  /** Grows whenever a machine gets the layer for writing: a copy made before is stale. */
  generation: number;
  /** SHA-256 of the sealed file, once computed. */
  checksum: string | null;
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
  /** `deleted`: gone for its owner, kept until `reclaim_at`. */
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
  /** Kept for when the volume has gone. */
  volume_slug: string;
  state: "creating" | "ready";
  layer: string;
  /** While `creating`: the layer that the volume shall write to from then on. */
  next_head: string | null;
  allocated_bytes: number;
  flattened_bytes: number;
  created_at: number;
}

/** One namespace for volumes and snapshots of an organisation. */
export interface VolumeSlugTable {
  org_id: string;
  slug: string;
  owner: string;
}

/** A disk that a sandbox holds, or a machine that was prepared for one. */
export interface DiskLeaseTable {
  node_id: string;
  sandbox: string;
  serial: string;
  layer: string;
  /** Null when the disk is the throw-away layer over a snapshot. */
  volume: string | null;
  created_at: number;
}

export interface VolumeTables {
  layers: LayerTable;
  volumes: VolumeTable;
  snapshots: SnapshotTable;
  volume_slugs: VolumeSlugTable;
  disk_leases: DiskLeaseTable;
}

export type VolumeDatabase = Kysely<VolumeTables & Pick<OrgTables, "orgs">>;
export type VolumeTransaction = Transaction<VolumeTables & Pick<OrgTables, "orgs">>;
export type LayerRow = Selectable<LayerTable>;
export type VolumeRow = Selectable<VolumeTable>;
export type SnapshotRow = Selectable<SnapshotTable>;
export type NewLayer = Insertable<LayerTable>;

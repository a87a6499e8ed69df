/** The parts that operations on volumes, snapshots and layers use, and helpers that they share. */
import { randomBytes } from "node:crypto";
import {
  CaissonError,
  type Config,
  type DiskAttachment,
  type LayerId,
  type NodeId,
  type NodeLayers,
  type NodeMachines,
} from "@caisson/protocol";
import type { Logger } from "pino";
import type { KeyedLock } from "../kernel/keyed-lock.ts";
import type { LayerRow, NewLayer, VolumeDatabase, VolumeTransaction } from "./tables.ts";

export interface VolumeContext {
  readonly db: VolumeDatabase;
  /** Row locks are needed where several writers can be in one transaction at a time (PostgreSQL). */
  readonly lockRows: boolean;
  /** The node of this server. Operations use only rows of this node, except for lists and deletes. */
  readonly nodeId: NodeId;
  readonly layers: NodeLayers;
  readonly machines: Pick<NodeMachines, "overlayDisk" | "diskLayers">;
  readonly config: Pick<Config, "volumes" | "sandbox">;
  /** Key of the base image below root file systems on this node. */
  readonly baseImage: () => string;
  /** Whether a sandbox has a running machine on this node. */
  readonly running: (sandboxId: string) => boolean;
  /** While a sandbox ends: resolves when its machine has ended and its disks are released. */
  readonly ending: (sandboxId: string) => Promise<unknown> | undefined;
  /** Keys: `volume:<id>` while a volume is attached, detached or changed; `graph` while images and rows of layers change together. */
  readonly locks: KeyedLock;
  readonly log: Logger;
}

export const builtinImage = "builtin:debian-13";

export function newLayerId(): LayerId {
  return randomBytes(10).toString("hex");
}

/** A row in state `creating`. It is written before the image, so that recovery after a crash knows about the image. */
export function plannedLayer(
  ctx: Pick<VolumeContext, "nodeId">,
  layer: Pick<LayerRow, "id" | "parent" | "kind" | "org_id">,
): NewLayer {
  return {
    ...layer,
    node_id: ctx.nodeId,
    state: "creating",
    sealed: 0,
    bytes: null,
    formatted_bytes: 0,
    generation: 0,
    checksum: null,
    held_by: null,
    created_at: Date.now(),
  };
}

/** Makes changes of an organisation's volumes wait for each other until the end of the transaction. */
export async function lockOrg(ctx: VolumeContext, trx: VolumeTransaction, orgId: string): Promise<void> {
  if (ctx.lockRows) await trx.selectFrom("orgs").select("id").where("id", "=", orgId).forUpdate().execute();
}

/** The rows of a layer and of all below it, top first. @throws CaissonError `internal` when the rows do not form a chain */
export async function layerChain(db: VolumeDatabase | VolumeTransaction, id: LayerId): Promise<LayerRow[]> {
  const rows: LayerRow[] = [];
  for (let next: string | null = id; next !== null;) {
    const row: LayerRow | undefined = await db
      .selectFrom("layers")
      .selectAll()
      .where("id", "=", next)
      .executeTakeFirst();
    if (row === undefined)
      throw new CaissonError("internal", `Layer ${next}, which is needed by ${id}, is not in the database.`);
    if (rows.some((known) => known.id === row.id))
      throw new CaissonError("internal", `Layer ${row.id} is its own parent in the database.`);
    rows.push(row);
    next = row.parent;
  }
  return rows;
}

/**
 * The layers of this node that running machines can write: those that they have, and those that were sealed while they had them. What is
 * in these may change at any moment, and not by honest programs alone.
 */
export async function writtenLayers({
  db,
  nodeId,
}: Pick<VolumeContext, "db" | "nodeId">): Promise<ReadonlySet<LayerId>> {
  const [leases, held] = await Promise.all([
    db.selectFrom("disk_leases").select("layer").where("node_id", "=", nodeId).execute(),
    db.selectFrom("layers").select("id").where("node_id", "=", nodeId).where("held_by", "is not", null).execute(),
  ]);
  return new Set([...leases.map(({ layer }) => layer), ...held.map(({ id }) => id)]);
}

/** The ids of a layer and all below it from the database, for a disk of a machine. The node attaches no others. */
export async function diskLayers(ctx: VolumeContext, id: LayerId): Promise<DiskAttachment["layers"]> {
  return ctx.locks.run("graph", async () => {
    const [, ...below] = await layerChain(ctx.db, id);
    return [id, ...below.map((row) => row.id)];
  });
}

/**
 * Checks that the parents of images are those in the database. A compromised machine could have changed the header of its disk to name
 * a layer of another organisation.
 * @throws CaissonError `internal`
 */
export async function checkChain(ctx: VolumeContext, id: LayerId): Promise<void> {
  await ctx.locks.run("graph", async () => {
    const [rows, ids] = await Promise.all([layerChain(ctx.db, id), ctx.layers.chain(id)]);
    if (ids.length !== rows.length || rows.some((row, index) => ids[index] !== row.id))
      throw new CaissonError("internal", `The images below layer ${id} are not those in the database.`);
  });
}

/** @throws CaissonError `invalid_state` when a volume or snapshot is on another node */
export function requireHere(
  ctx: VolumeContext,
  owned: { readonly slug: string; readonly node_id: string | null },
): void {
  if (owned.node_id !== ctx.nodeId)
    throw new CaissonError(
      "invalid_state",
      `\`${owned.slug}\` is stored on node ${owned.node_id}, but this server uses node ${ctx.nodeId}. Send the request to the server of that node.`,
    );
}

/** Clients give up after 10 s. */
const endingDeadline = 8_000;

/**
 * Waits, for a limited time, for sandboxes that are ending to release these volumes. A client may end a sandbox and use its volume
 * again at once. Does not wait for a sandbox that goes on.
 */
export async function waitForEnd(
  ctx: VolumeContext,
  volumes: readonly { readonly attached_to: string | null }[],
): Promise<void> {
  const ends = volumes.flatMap(({ attached_to }) => (attached_to === null ? [] : (ctx.ending(attached_to) ?? [])));
  if (ends.length === 0) return;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, endingDeadline)));
  await Promise.race([Promise.allSettled(ends), late]).finally(() => clearTimeout(timer));
}

/** @throws CaissonError `resource_exhausted` when the disk of the node is nearly full */
export async function requireDiskSpace(ctx: VolumeContext): Promise<void> {
  const free = await ctx.layers.freeBytes();
  if (free < ctx.config.volumes.minFreeDisk) {
    throw new CaissonError(
      "resource_exhausted",
      "The node has too little free disk space for a new volume or snapshot. Delete volumes or snapshots, or ask the operator for more space.",
      { wireCode: "DISK_FULL" },
    );
  }
}

/** What the operations on volumes, snapshots and their layers work with. */
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
import type { KeyedLock } from "./keyed-lock.ts";
import type { LayerRow, NewLayer, VolumeDatabase, VolumeTransaction } from "./tables.ts";

export interface VolumeContext {
  readonly db: VolumeDatabase;
  /** Row locks are needed where several writers can be in one transaction at a time (PostgreSQL). */
  readonly lockRows: boolean;
  /** The node of this server: only its rows are touched, except for lists. */
  readonly nodeId: NodeId;
  readonly layers: NodeLayers;
  readonly machines: Pick<NodeMachines, "overlayDisk" | "diskLayers">;
  readonly config: Pick<Config, "volumes" | "sandbox">;
  /** Key of the base image that root file systems of this node are laid over. */
  readonly baseImage: () => string;
  /** Whether a sandbox has a running machine here. */
  readonly running: (sandboxId: string) => boolean;
  /** While a sandbox is being ended: resolves when it has ended and given its disks back. */
  readonly ending: (sandboxId: string) => Promise<void> | undefined;
  /** `volume:<id>` while a volume changes hands or head; `graph` for the moments in which files and rows of layers change together. */
  readonly locks: KeyedLock;
  readonly log: Logger;
}

export const builtinImage = "builtin:debian-13";

export function newLayerId(): LayerId {
  return randomBytes(10).toString("hex");
}

/** A row in state `creating`: written before the file, so that a crash leaves nothing unknown. */
export function plannedLayer(
  ctx: Pick<VolumeContext, "nodeId">,
  layer: Pick<LayerRow, "id" | "parent" | "kind">,
): NewLayer {
  return {
    ...layer,
    node_id: ctx.nodeId,
    state: "creating",
    sealed: 0,
    formatted_bytes: 0,
    generation: 0,
    checksum: null,
    created_at: Date.now(),
  };
}

/** Lets one change of an organisation's volumes wait for another. */
export async function lockOrg(ctx: VolumeContext, trx: VolumeTransaction, orgId: string): Promise<void> {
  if (ctx.lockRows) await trx.selectFrom("orgs").select("id").where("id", "=", orgId).forUpdate().execute();
}

/** The rows of a layer and of all below it, top first. */
export async function layerChain(db: VolumeDatabase | VolumeTransaction, id: LayerId): Promise<LayerRow[]> {
  const rows: LayerRow[] = [];
  for (let next: string | null = id; next !== null;) {
    const row: LayerRow = await db.selectFrom("layers").selectAll().where("id", "=", next).executeTakeFirstOrThrow();
    rows.push(row);
    next = row.parent;
  }
  return rows;
}

/** A layer and all below it as the store says, for a disk of a machine. The node refuses images whose headers say otherwise. */
export async function diskLayers(ctx: VolumeContext, id: LayerId): Promise<DiskAttachment["layers"]> {
  return ctx.locks.run("graph", async () => {
    const [, ...below] = await layerChain(ctx.db, id);
    return [id, ...below.map((row) => row.id)];
  });
}

/**
 * Whether images are laid over each other as the store says. A machine that was taken over could have rewritten the header of its
 * disk to name a layer of somebody else.
 * @throws CaissonError `internal`
 */
export async function checkChain(ctx: VolumeContext, id: LayerId): Promise<void> {
  await ctx.locks.run("graph", async () => {
    const [rows, ids] = await Promise.all([layerChain(ctx.db, id), ctx.layers.chain(id)]);
    if (ids.length !== rows.length || rows.some((row, index) => ids[index] !== row.id))
      throw new CaissonError("internal", `The images below layer ${id} are not in the order that the store says.`);
  });
}

/** @throws CaissonError `invalid_state` when a volume or snapshot lives on another node */
export function requireHere(
  ctx: VolumeContext,
  owned: { readonly slug: string; readonly node_id: string | null },
): void {
  if (owned.node_id !== ctx.nodeId)
    throw new CaissonError(
      "invalid_state",
      `\`${owned.slug}\` is on node ${owned.node_id}, and this server runs sandboxes on node ${ctx.nodeId}. Use the server of that node.`,
    );
}

/** Clients give up after 10 s. */
const endingDeadline = 8_000;

/**
 * A client that ends a sandbox and uses its volume again at once does not know that the end takes a moment: waits for that end, within
 * bounds. A volume in use by a sandbox that goes on is not waited for.
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
      "The node has too little free disk space for a new volume or snapshot. Delete some, or ask the operator.",
      { wireCode: "DISK_FULL" },
    );
  }
}

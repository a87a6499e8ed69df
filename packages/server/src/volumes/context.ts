/** What the operations of this room work with. */
import { randomBytes } from "node:crypto";
import { CaissonError, type Config, type LayerId, type LayerStore, type Machine } from "@caisson/protocol";
import type { Transaction } from "kysely";
import type { Logger } from "pino";
import type { Database, Tables } from "../store/tables.ts";
import type { KeyedLock } from "./keyed-lock.ts";
import type { LayerRow, NewLayer } from "./tables.ts";

/** The part of a machine that this room needs. */
export type DiskHolder = Pick<Machine, "whileFrozen" | "overlayDisk" | "diskImages">;

export interface VolumeContext {
  readonly db: Database;
  /** Row locks are needed where several writers can be in one transaction at a time (PostgreSQL). */
  readonly lockRows: boolean;
  readonly layers: LayerStore;
  readonly config: Pick<Config, "volumes" | "sandbox">;
  /** Key of the base image that root file systems of this installation lie over. */
  readonly baseImage: string;
  /** The running machine of a sandbox. */
  readonly machine: (sandboxId: string) => DiskHolder | undefined;
  /** `volume:<id>` while a volume changes hands or head; `graph` for the moments in which files and rows of layers change together. */
  /** While a sandbox is being ended: resolves when it has ended and given its disks back. */
  readonly ending: (sandboxId: string) => Promise<void> | undefined;
  readonly locks: KeyedLock;
  readonly log: Logger;
}

export const builtinImage = "builtin:debian-13";

export function newLayerId(): LayerId {
  return randomBytes(10).toString("hex");
}

/** A row in state `creating`: written before the file, so that a crash leaves nothing unknown. */
export function plannedLayer(layer: Pick<LayerRow, "id" | "parent" | "kind">): NewLayer {
  return {
    ...layer,
    state: "creating",
    sealed: 0,
    formatted_bytes: 0,
    generation: 0,
    checksum: null,
    created_at: Date.now(),
  };
}

/** Lets one change of an organisation's volumes wait for another. */
export async function lockOrg(ctx: VolumeContext, trx: Transaction<Tables>, orgId: string): Promise<void> {
  if (ctx.lockRows) await trx.selectFrom("orgs").select("id").where("id", "=", orgId).forUpdate().execute();
}

/** The rows of a layer and of all below it. */
export async function layerChain(db: Database | Transaction<Tables>, id: LayerId): Promise<LayerRow[]> {
  const rows: LayerRow[] = [];
  for (let next: string | null = id; next !== null;) {
    const row: LayerRow = await db.selectFrom("layers").selectAll().where("id", "=", next).executeTakeFirstOrThrow();
    rows.push(row);
    next = row.parent;
  }
  return rows;
}

/**
 * Paths of a layer's files, when they are laid over each other as the store says. A machine that was taken over could have
 * rewritten the header of its disk to name a layer of somebody else.
 * @throws CaissonError `internal`
 */
export function checkedPaths(ctx: VolumeContext, id: LayerId): Promise<readonly string[]> {
  return ctx.locks.run("graph", async () => {
    const [rows, paths] = await Promise.all([layerChain(ctx.db, id), ctx.layers.chain(id)]);
    const named = paths.map((path) => path.slice(path.lastIndexOf("/") + 1));
    if (named.length !== rows.length || rows.some((row, index) => named[index] !== `${row.id}.qcow2`)) {
      throw new CaissonError("internal", `The images of layer ${id} are not laid over each other as they should be.`);
    }
    return paths;
  });
}

/** Clients give up after 10 s. */
const endingDeadline = 8_000;

/**
 * A client that ends a sandbox and at once uses its volume again does not know that the end takes a moment: waits for that end,
 * within bounds. A volume in use by a sandbox that goes on is not waited for.
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

/** @throws CaissonError `resource_exhausted` when the host's disk is nearly full */
export async function requireRoom(ctx: VolumeContext): Promise<void> {
  const free = await ctx.layers.freeBytes();
  if (free < ctx.config.volumes.minFreeDisk) {
    throw new CaissonError(
      "resource_exhausted",
      "The host is short of disk space, so no volume or snapshot can be made now. Delete some, or ask the operator.",
      {
        wireCode: "DISK_FULL",
      },
    );
  }
}

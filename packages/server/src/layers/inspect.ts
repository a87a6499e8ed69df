/**
 * Looks at the headers of images and marks the layers whose images cannot be used. A missing or damaged image is replaced from its copy
 * at rest, when that is good.
 */
import type { LayerFile, LayerId } from "@caisson/protocol";
import { checkChain, layerChain, type VolumeContext } from "./context.ts";
import { clearDamage, damagedError, markDamaged, requireUndamaged, verdictOn } from "./damage.ts";
import type { LayerRow, SnapshotRow, VolumeRow } from "./tables.ts";

/** Looks at all layers of the node. Quick: a few reads of one cluster each. */
export async function inspectLayers(ctx: VolumeContext, signal?: AbortSignal): Promise<void> {
  const rows = await ctx.db
    .selectFrom("layers")
    .select("id")
    .where("node_id", "=", ctx.nodeId)
    .where("state", "=", "ready")
    .where("kind", "!=", "ephemeral")
    .execute();
  for (const { id } of rows) {
    if (signal?.aborted === true) return;
    await inspectLayer(ctx, id);
  }
}

/** Looks again at the layers that are marked: the operator may have brought an image back. */
export async function inspectMarked(ctx: VolumeContext): Promise<void> {
  const marks = await ctx.db
    .selectFrom("damages")
    .select("subject")
    .where("node_id", "=", ctx.nodeId)
    .where("kind", "=", "layer")
    .where("depth", "=", "structure")
    .execute();
  for (const { subject } of marks) await inspectLayer(ctx, subject);
}

/** Marks a layer whose image cannot be used, and removes the mark of one whose image can. */
export async function inspectLayer(ctx: VolumeContext, id: LayerId): Promise<void> {
  const broken = await look(ctx, id);
  if (broken === undefined) return;
  if (broken.checksum === null) return mark(ctx, broken, `${broken.fault}, and there is no copy at rest`);
  try {
    // Not inside the lock: it may copy gigabytes.
    await ctx.layers.recall(id, broken.checksum);
  } catch (error) {
    const verdict = verdictOn(error);
    if (verdict === "other") throw error;
    if (verdict === "unclear") ctx.log.warn({ err: error, layer: id }, "a copy at rest could not be used now");
    return mark(ctx, broken, `${broken.fault}, and its copy at rest cannot be used: ${sentence(error)}`);
  }
  ctx.log.warn({ layer: id }, "a missing or damaged image was restored from its copy at rest");
  const still = await look(ctx, id);
  if (still !== undefined) await mark(ctx, still, still.fault);
}

interface Broken {
  readonly id: LayerId;
  /** What is wrong with the file. */
  readonly fault: string;
  readonly sealed: number;
  readonly checksum: string | null;
}

/** Marks what does not need the copy at rest. @returns a layer whose file is missing or is not an image */
function look(ctx: VolumeContext, id: LayerId): Promise<Broken | undefined> {
  return ctx.locks.run("graph", async () => {
    const row = await readRow(ctx, id);
    if (row === undefined) await clearDamage(ctx, id);
    if (row?.state !== "ready" || row.kind === "ephemeral") return undefined;
    let file: LayerFile | undefined;
    try {
      file = await ctx.layers.stat(id);
    } catch (error) {
      const verdict = verdictOn(error);
      if (verdict === "other") throw error;
      return verdict === "unclear" ? undefined : { ...row, fault: sentence(error) };
    }
    if (file === undefined) return { ...row, fault: "its image is missing" };
    const reason = await disagreement(ctx, row, file);
    if (reason !== undefined) await mark(ctx, row, reason);
    else await clearDamage(ctx, id, "structure");
    return undefined;
  });
}

async function mark(
  ctx: VolumeContext,
  { id, sealed }: Pick<LayerRow, "id" | "sealed">,
  reason: string,
): Promise<void> {
  // It may have been removed, or sealed, in the meantime.
  const now = await readRow(ctx, id);
  if (now?.state !== "ready" || now.sealed !== sealed) return;
  await markDamaged(ctx, { subject: id, kind: "layer", reason, depth: "structure" });
}

/** How image and row differ. */
async function disagreement(ctx: VolumeContext, row: LayerRow, file: LayerFile): Promise<string | undefined> {
  if (file.parent !== row.parent)
    return `the parent of its image is ${file.parent ?? "none"}, but in the database it is ${row.parent ?? "none"}`;
  if (row.sealed === 1 && !file.sealed) await ctx.layers.seal(row.id);
  if (row.sealed === 0 && file.sealed && !(await isBeingSealed(ctx, row.id)))
    return "its image is sealed, but not in the database: a snapshot was taken that the database does not know";
  return undefined;
}

/**
 * Refuses to use a damaged volume or snapshot. Reads the headers of its images.
 * @throws CaissonError `invalid_state` (VOLUME_DAMAGED, SNAPSHOT_DAMAGED)
 */
export async function requireSound(
  ctx: VolumeContext,
  kind: "volume" | "snapshot",
  owned: Pick<VolumeRow | SnapshotRow, "id" | "slug">,
  head: LayerId,
): Promise<void> {
  await requireUndamaged(ctx, kind, owned, head);
  const first = await chainFault(ctx, head);
  if (first === undefined) return;
  for (const { id } of await layerChain(ctx.db, head).catch(() => [])) await inspectLayer(ctx, id);
  await requireUndamaged(ctx, kind, owned, head);
  // Each image is sound now, perhaps because it was brought back.
  const second = await chainFault(ctx, head);
  if (second === undefined) return;
  await markDamaged(ctx, { subject: owned.id, kind, reason: second, depth: "structure" });
  throw damagedError(kind, owned.slug, Date.now());
}

async function chainFault(ctx: VolumeContext, head: LayerId): Promise<string | undefined> {
  try {
    await checkChain(ctx, head);
    return undefined;
  } catch (error) {
    if (verdictOn(error) !== "damaged") throw error;
    return (error as Error).message;
  }
}

function readRow({ db, nodeId }: VolumeContext, id: LayerId): Promise<LayerRow | undefined> {
  return db.selectFrom("layers").selectAll().where("id", "=", id).where("node_id", "=", nodeId).executeTakeFirst();
}

/** A snapshot of it is being taken, or waits to be settled. */
async function isBeingSealed({ db }: VolumeContext, id: LayerId): Promise<boolean> {
  const snapshot = await db
    .selectFrom("snapshots")
    .select("id")
    .where("layer", "=", id)
    .where("state", "=", "creating")
    .executeTakeFirst();
  return snapshot !== undefined;
}

/** A message without its full stop, to be continued. */
function sentence(error: unknown): string {
  return (error as Error).message.replace(/\.$/, "");
}

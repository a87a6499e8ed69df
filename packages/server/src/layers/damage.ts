/**
 * Damage concerns its owner alone. What is found damaged is marked in the database with the reason and the time. Whatever needs a marked
 * layer is refused with a clear error, and everything else goes on.
 */
import { CaissonError, type LayerId } from "@caisson/protocol";
import { layerChain, type VolumeContext } from "./context.ts";
import type { DamageRow, SnapshotRow, VolumeRow } from "./tables.ts";

/** `structure`: found by a look at the image's header, which is repeated. `content`: found by reading the whole image. */
export type DamageDepth = DamageRow["depth"];

export interface Damaged {
  /** Layers, volumes and snapshots that are marked themselves. */
  readonly marks: readonly DamageRow[];
  /** Marked layers and all layers above them. */
  readonly layers: ReadonlySet<LayerId>;
  /** Ids of what cannot be used: marked, or over a marked layer. Deleted volumes are left out. */
  readonly volumes: readonly string[];
  readonly snapshots: readonly string[];
}

type Store = Pick<VolumeContext, "db" | "nodeId">;

/** What is damaged on this node, and what is affected by it. */
export async function findDamaged({ db, nodeId }: Store): Promise<Damaged> {
  const marks = await db.selectFrom("damages").selectAll().where("node_id", "=", nodeId).orderBy("found_at").execute();
  if (marks.length === 0) return { marks, layers: new Set(), volumes: [], snapshots: [] };
  const [layers, volumes, snapshots] = await Promise.all([
    db.selectFrom("layers").select(["id", "parent"]).where("node_id", "=", nodeId).execute(),
    db
      .selectFrom("volumes")
      .select(["id", "head"])
      .where("node_id", "=", nodeId)
      .where("state", "!=", "deleted")
      .execute(),
    db.selectFrom("snapshots").select(["id", "layer"]).where("node_id", "=", nodeId).execute(),
  ]);
  const marked = new Set(marks.map(({ subject }) => subject));
  const above = new Map<string | null, string[]>();
  for (const { id, parent } of layers) above.set(parent, [...(above.get(parent) ?? []), id]);
  const affected = new Set<LayerId>();
  const queue = layers.filter(({ id }) => marked.has(id)).map(({ id }) => id);
  for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
    if (affected.has(id)) continue;
    affected.add(id);
    queue.push(...(above.get(id) ?? []));
  }
  return {
    marks,
    layers: affected,
    volumes: volumes.filter(({ id, head }) => marked.has(id) || affected.has(head)).map(({ id }) => id),
    snapshots: snapshots.filter(({ id, layer }) => marked.has(id) || affected.has(layer)).map(({ id }) => id),
  };
}

/** Marks a layer, a volume or a snapshot. The time of an earlier mark is kept. */
export async function markDamaged(
  ctx: Store & Pick<VolumeContext, "log">,
  mark: Pick<DamageRow, "subject" | "kind" | "reason" | "depth">,
): Promise<void> {
  const { db, nodeId, log } = ctx;
  const { numInsertedOrUpdatedRows } = await db
    .insertInto("damages")
    .values({ node_id: nodeId, ...mark, found_at: Date.now() })
    .onConflict((conflict) =>
      conflict
        .columns(["node_id", "subject"])
        .doUpdateSet({ reason: mark.reason, depth: mark.depth })
        .where("damages.reason", "!=", mark.reason),
    )
    .executeTakeFirstOrThrow();
  if (numInsertedOrUpdatedRows === 0n) return;
  const { volumes, snapshots } = await findDamaged(ctx);
  log.error(
    { [mark.kind]: mark.subject, reason: mark.reason, damaged: { volumes, snapshots } },
    `a ${mark.kind} is damaged; what needs it is refused until the operator repairs or drops it (npm run volumes -- damaged)`,
  );
}

/**
 * Removes a mark.
 * @param depth only one of this depth. Default: any
 */
export async function clearDamage(
  { db, nodeId, log }: Store & Pick<VolumeContext, "log">,
  subject: string,
  depth?: DamageDepth,
): Promise<void> {
  const { numDeletedRows } = await db
    .deleteFrom("damages")
    .where("node_id", "=", nodeId)
    .where("subject", "=", subject)
    .$if(depth !== undefined, (query) => query.where("depth", "=", depth!))
    .executeTakeFirstOrThrow();
  if (numDeletedRows > 0n) log.info({ subject }, "no longer damaged");
}

/** @throws CaissonError `invalid_state` (VOLUME_DAMAGED, SNAPSHOT_DAMAGED) when it, or a layer that it needs, is marked */
export async function requireUndamaged(
  { db, nodeId }: Store,
  kind: "volume" | "snapshot",
  owned: Pick<VolumeRow | SnapshotRow, "id" | "slug">,
  head: LayerId,
): Promise<void> {
  // One query when nothing is damaged, which is the usual case.
  const marks = await db.selectFrom("damages").select(["subject", "found_at"]).where("node_id", "=", nodeId).execute();
  if (marks.length === 0) return;
  const needed = new Set([owned.id, ...(await layerChain(db, head)).map(({ id }) => id)]);
  const mark = marks.find(({ subject }) => needed.has(subject));
  if (mark !== undefined) throw damagedError(kind, owned.slug, mark.found_at);
}

/** The reason is for the operator: it may name files of the node. */
export function damagedError(kind: "volume" | "snapshot", slug: string, foundAt: number): CaissonError {
  return new CaissonError(
    "invalid_state",
    `The data of the ${kind} \`${slug}\` is damaged on the node (found at ${new Date(foundAt).toISOString()}). Ask the operator to repair it, or delete it.`,
    { wireCode: kind === "volume" ? "VOLUME_DAMAGED" : "SNAPSHOT_DAMAGED" },
  );
}

/**
 * What a failure on one layer, volume or snapshot says: `damaged`, its image cannot be used; `unclear`, the node or a machine does not
 * answer or has no space, so it is tried again later; `other`, not a matter of this one alone, such as a database that fails.
 */
export function verdictOn(error: unknown): "damaged" | "unclear" | "other" {
  if (error instanceof CaissonError) {
    return error.code === "internal" || error.code === "not_found" ? "damaged" : "unclear";
  }
  // A failed system call on a file. Errors of SQLite have codes as well.
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined) return "other";
  return code === "ENOSPC" || code === "EMFILE" || code === "ENFILE" ? "unclear" : "damaged";
}

/**
 * Does work on one row so that a failure concerns this row alone.
 * @returns whether it succeeded
 * @throws what is not a matter of this row alone
 */
export async function guarded(
  ctx: VolumeContext,
  row: Pick<DamageRow, "subject" | "kind">,
  work: () => Promise<unknown>,
): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    const verdict = verdictOn(error);
    if (verdict === "other") throw error;
    if (verdict === "damaged") await markDamaged(ctx, { ...row, reason: (error as Error).message, depth: "structure" });
    else
      ctx.log.warn(
        { err: error, [row.kind]: row.subject },
        `a ${row.kind} could not be settled; it will be tried again`,
      );
    return false;
  }
}

/** Timelines: what serves which revision. Production, one for each git branch, and one preview for each revision that wants one. */
import type { EnvContext } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { randomUUID } from "node:crypto";
import { isRevisionId } from "./ids.ts";
import type { TimelineName } from "./progress.ts";
import type { RevisionDatabase, RevisionRow, TimelineRow } from "./tables.ts";
import { clearTraffic } from "./traffic.ts";

const revisionPartition = "deno.revision.id";
const branchPartition = "git.branch";

/** Bytes of the name of a branch. */
export const longestBranch = 200;
/** Most branches of one app that have a timeline. */
const mostBranches = 1000;
/** Changes that the history of a timeline keeps. */
const keptChanges = 1000;

export function isBranch(name: string): boolean {
  return /^\P{Cc}+$/u.test(name) && name.isWellFormed() && Buffer.byteLength(name) <= longestBranch;
}

export const production: TimelineName = { slug: "production", partition: {} };

export function previewOf(revisionId: string): TimelineName {
  return { slug: "preview", partition: { [revisionPartition]: revisionId } };
}

export function branchTimeline(branch: string): TimelineName {
  return { slug: "git-branch", partition: { [branchPartition]: branch } };
}

/** The timelines that a revision goes to. */
export function timelinesFor(revision: Pick<RevisionRow, "id" | "production" | "preview" | "branch">): TimelineName[] {
  return [
    ...(revision.production === 1 ? [production] : []),
    ...(revision.branch === null ? [] : [branchTimeline(revision.branch)]),
    ...(revision.preview === 1 ? [previewOf(revision.id)] : []),
  ];
}

/** `production`, `preview/<revision>` or `git-branch/<branch>`: unique in an app, and the value of `DENO_TIMELINE`. */
export function keyOf({ slug, partition }: TimelineName): string {
  return [slug, ...Object.values(partition)].join("/");
}

/**
 * As paths of the API name a timeline: `production`, `preview:<revision>`, `git-branch:<branch>`, the value percent-encoded.
 * @throws CaissonError `not_found`
 */
export function parseTimeline(text: string): TimelineName {
  const [, slug = "", value] = /^([a-z-]{1,32})(?::(.{1,1000}))?$/s.exec(text) ?? [];
  if (slug === "production" && value === undefined) return production;
  const decoded = value === undefined ? undefined : decode(value);
  if (decoded !== undefined && slug === "preview" && isRevisionId(decoded)) return previewOf(decoded);
  if (decoded !== undefined && slug === "git-branch" && isBranch(decoded)) return branchTimeline(decoded);
  throw new CaissonError(
    "not_found",
    `No such timeline: ${JSON.stringify(text.slice(0, 80))}. Use production, preview:<revision> or git-branch:<branch>.`,
  );
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Which environment variables apply. */
export function contextOf({ slug }: Pick<TimelineName, "slug">): Exclude<EnvContext, "build"> {
  return slug === "production" ? "production" : "development";
}

export function nameOf({ slug, partition }: Pick<TimelineRow, "slug" | "partition">): TimelineName {
  return { slug, partition: JSON.parse(partition) as Record<string, string> };
}

export interface Activation {
  /** What it served before. Undefined: it is new. */
  readonly former: string | undefined;
  /** The timeline is pinned to another revision, so that nothing changed. */
  readonly blocked: boolean;
}

export class Timelines {
  readonly #db: RevisionDatabase;
  readonly #lockRows: boolean;

  constructor(db: RevisionDatabase, lockRows: boolean) {
    this.#db = db;
    this.#lockRows = lockRows;
  }

  /** What a timeline serves. @param key see `keyOf` */
  find(appId: string, key: string): Promise<TimelineRow | undefined> {
    return this.#db
      .selectFrom("timelines")
      .selectAll()
      .where("app_id", "=", appId)
      .where("key", "=", key)
      .executeTakeFirst();
  }

  /** Those that serve a revision, also those that give it a part of their requests. */
  of(revisionId: string): Promise<TimelineRow[]> {
    const parts = this.#db.selectFrom("timeline_traffic").select("timeline_id").where("revision_id", "=", revisionId);
    return this.#db
      .selectFrom("timelines")
      .selectAll()
      .where((eb) => eb.or([eb("revision_id", "=", revisionId), eb("id", "in", parts)]))
      .orderBy("key", "desc")
      .execute();
  }

  /** All of an app, newest first. */
  list(
    appId: string,
    limit: number,
    before?: { readonly createdAt: number; readonly id: string },
  ): Promise<TimelineRow[]> {
    let query = this.#db
      .selectFrom("timelines")
      .selectAll()
      .where("app_id", "=", appId)
      .orderBy("created_at", "desc")
      .orderBy("id", "desc")
      .limit(limit);
    if (before !== undefined)
      query = query.where((eb) => eb(eb.refTuple("created_at", "id"), "<", eb.tuple(before.createdAt, before.id)));
    return query.execute();
  }

  /** Those of branches of an app, newest first: at most `mostBranches`. */
  branches(appId: string): Promise<TimelineRow[]> {
    return this.#db
      .selectFrom("timelines")
      .selectAll()
      .where("app_id", "=", appId)
      .where("slug", "=", "git-branch")
      .orderBy("created_at", "desc")
      .orderBy("id", "desc")
      .execute();
  }

  /** Revisions that it served, newest first, the present one included. */
  async history(timelineId: string, limit: number): Promise<{ revisionId: string; at: number }[]> {
    return this.#db
      .selectFrom("timeline_history")
      .select(["revision_id as revisionId", "at"])
      .where("timeline_id", "=", timelineId)
      .orderBy("seq", "desc")
      .limit(limit)
      .execute();
  }

  /**
   * From now on the timeline serves this revision alone, which is in use again: one transaction. The revision must not have failed, and not be
   * deleted.
   * @param options `pin`: pins or unpins it as well. `force`: also when it is pinned to another revision
   * @throws CaissonError `invalid_state`, `resource_exhausted`
   */
  async activate(
    { id, app_id, org_id }: Pick<RevisionRow, "id" | "app_id" | "org_id">,
    name: TimelineName,
    { pin, force = pin !== undefined }: { readonly pin?: boolean; readonly force?: boolean } = {},
  ): Promise<Activation> {
    const now = Date.now();
    return this.#db.transaction().execute(async (trx) => {
      let revisions = trx.selectFrom("revisions").select(["status", "deleted_at"]).where("id", "=", id);
      if (this.#lockRows) revisions = revisions.forUpdate();
      const revision = await revisions.executeTakeFirst();
      if (revision === undefined || revision.deleted_at !== null || revision.status === "failed")
        throw new CaissonError("invalid_state", `Revision ${id} cannot be served: it has failed, or was deleted.`);
      let rows = trx.selectFrom("timelines").selectAll().where("app_id", "=", app_id).where("key", "=", keyOf(name));
      if (this.#lockRows) rows = rows.forUpdate();
      const row = await rows.executeTakeFirst();
      if (row !== undefined && row.pinned === 1 && row.revision_id !== id && !force)
        return { former: row.revision_id, blocked: true };
      await trx.updateTable("revisions").set({ used_at: now, disabled_at: null }).where("id", "=", id).execute();
      const pinned = pin === undefined ? (row?.pinned ?? 0) : pin ? 1 : 0;
      const timelineId = row?.id ?? randomUUID();
      if (row === undefined) {
        if (name.slug === "git-branch") await checkBranches(trx, app_id);
        await trx
          .insertInto("timelines")
          .values({
            id: timelineId,
            org_id,
            app_id,
            key: keyOf(name),
            slug: name.slug,
            partition: JSON.stringify(name.partition),
            context: contextOf(name),
            revision_id: id,
            pinned,
            created_at: now,
            changed_at: now,
          })
          .execute();
      } else
        await trx
          .updateTable("timelines")
          .set({ revision_id: id, pinned, ...(row.revision_id === id ? {} : { changed_at: now }) })
          .where("id", "=", timelineId)
          .execute();
      await clearTraffic(trx, timelineId);
      if (row?.revision_id !== id) {
        const last = await trx
          .selectFrom("timeline_history")
          .select((eb) => eb.fn.max("seq").as("seq"))
          .where("timeline_id", "=", timelineId)
          .executeTakeFirstOrThrow();
        const seq = (last.seq ?? 0) + 1;
        await trx
          .insertInto("timeline_history")
          .values({ timeline_id: timelineId, seq, revision_id: id, at: now })
          .execute();
        await trx
          .deleteFrom("timeline_history")
          .where("timeline_id", "=", timelineId)
          .where("seq", "<=", seq - keptChanges)
          .execute();
      }
      return { former: row?.revision_id, blocked: false };
    });
  }

  async unpin(timelineId: string): Promise<void> {
    await this.#db.updateTable("timelines").set({ pinned: 0 }).where("id", "=", timelineId).execute();
  }
}

async function checkBranches(db: RevisionDatabase, appId: string): Promise<void> {
  const { count } = await db
    .selectFrom("timelines")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("app_id", "=", appId)
    .where("slug", "=", "git-branch")
    .executeTakeFirstOrThrow();
  if (Number(count) >= mostBranches)
    throw new CaissonError("resource_exhausted", `This app has timelines of ${count} branches, the limit.`);
}

/** Rows of revisions. A change of status is one guarded transaction with its progress, so two writers cannot both win. */
import type {
  AppConfig,
  FailureReason,
  LayerReference,
  Retention,
  RevisionProgress,
  RevisionStatus,
} from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import type { Sealer } from "../kernel/sealing.ts";
import { isRevisionId, newRevisionId } from "./ids.ts";
import { ended, newProgress, withStage } from "./progress.ts";
import type { RevisionDatabase, RevisionRow } from "./tables.ts";
import type { Watch } from "./watch.ts";

export interface Variable {
  readonly key: string;
  readonly value: string;
}

export interface NewRevision {
  readonly app: { readonly id: string; readonly org_id: string };
  readonly config: AppConfig;
  /** In order of priority. */
  readonly layers: readonly LayerReference[];
  /** The revision's own variables. They override those of the app. */
  readonly env: readonly Variable[];
  readonly labels: Readonly<Record<string, string>>;
  readonly production: boolean;
  readonly preview: boolean;
  readonly branch?: string | undefined;
  readonly retention: Retention;
}

/** What a revision turned out to have. */
export interface Content {
  readonly files: number;
  readonly bytes: number;
  /** SHA-256 in hexadecimal digits. */
  readonly manifest: string;
}

export interface Move {
  readonly from: readonly RevisionStatus[];
  readonly to: RevisionStatus;
  /** When `to` is `failed`. */
  readonly reason?: FailureReason | undefined;
  /** Which step failed and why, for people. */
  readonly message?: string | undefined;
}

export interface RevisionListRequest {
  readonly appId: string;
  readonly status?: RevisionStatus | undefined;
  readonly limit: number;
  /** Rows older than this one. */
  readonly before?: { readonly createdAt: number; readonly id: string } | undefined;
}

const live: readonly RevisionStatus[] = ["queued", "building"];
/** Bytes of a message about a failure. */
const longestMessage = 2048;

export function isLive({ status }: Pick<RevisionRow, "status">): boolean {
  return live.includes(status);
}

export class RevisionStore {
  readonly #db: RevisionDatabase;
  readonly #lockRows: boolean;
  readonly #sealer: Sealer;
  readonly #watch: Watch;

  constructor(options: { db: RevisionDatabase; lockRows: boolean; sealer: Sealer; watch: Watch }) {
    this.#db = options.db;
    this.#lockRows = options.lockRows;
    this.#sealer = options.sealer;
    this.#watch = options.watch;
  }

  /** A queued one. @throws CaissonError `not_found` (APP_NOT_FOUND) when its app was deleted meanwhile */
  async create(request: NewRevision): Promise<RevisionRow> {
    const { app, config, layers, env, labels, production, preview, branch, retention } = request;
    const now = Date.now();
    const id = newRevisionId();
    const row: RevisionRow = {
      id,
      org_id: app.org_id,
      app_id: app.id,
      status: "queued",
      failure_reason: null,
      failure_message: null,
      labels: JSON.stringify(labels),
      config: JSON.stringify(config),
      layers: JSON.stringify(layers),
      sealed_env: this.#sealer.seal(JSON.stringify(env), sealContext(id)),
      production: production ? 1 : 0,
      preview: preview ? 1 : 0,
      branch: branch ?? null,
      retention,
      progress: JSON.stringify(newProgress(now)),
      files: null,
      bytes: null,
      manifest: null,
      created_at: now,
      cancellation_requested_at: null,
      build_finished_at: null,
      used_at: now,
      disabled_at: null,
      deleted_at: null,
      released_at: null,
    };
    await this.#db.transaction().execute(async (trx) => {
      // A deletion of the app gives back what the revisions hold that it finds: none may come later.
      let owner = trx.selectFrom("apps").select("id").where("id", "=", app.id).where("deleted_at", "is", null);
      if (this.#lockRows) owner = owner.forShare();
      if ((await owner.executeTakeFirst()) === undefined)
        throw new CaissonError("not_found", "The app was deleted.", { wireCode: "APP_NOT_FOUND" });
      await trx.insertInto("revisions").values(row).execute();
    });
    return row;
  }

  /** Also a deleted one. */
  async get(id: string): Promise<RevisionRow | undefined> {
    if (!isRevisionId(id)) return undefined;
    return this.#db.selectFrom("revisions").selectAll().where("id", "=", id).executeTakeFirst();
  }

  /** The revision's own variables. */
  variables({ id, sealed_env }: RevisionRow): Variable[] {
    return JSON.parse(this.#sealer.open(sealed_env, sealContext(id))) as Variable[];
  }

  /** Queued and building ones, oldest first. */
  unfinished(): Promise<RevisionRow[]> {
    return this.#db
      .selectFrom("revisions")
      .selectAll()
      .where("status", "in", live)
      .orderBy("created_at")
      .orderBy("id")
      .execute();
  }

  /** Those of one app. */
  liveOf(appId: string): Promise<Pick<RevisionRow, "id">[]> {
    return this.#db
      .selectFrom("revisions")
      .select("id")
      .where("app_id", "=", appId)
      .where("status", "in", live)
      .execute();
  }

  /** Newest first, without deleted ones. */
  list({ appId, status, limit, before }: RevisionListRequest): Promise<RevisionRow[]> {
    let query = this.#db
      .selectFrom("revisions")
      .selectAll()
      .where("app_id", "=", appId)
      .where("deleted_at", "is", null)
      .orderBy("created_at", "desc")
      .orderBy("id", "desc")
      .limit(limit);
    if (status !== undefined) query = query.where("status", "=", status);
    if (before !== undefined)
      query = query.where((eb) => eb(eb.refTuple("created_at", "id"), "<", eb.tuple(before.createdAt, before.id)));
    return query.execute();
  }

  /**
   * Changes the status when it is one of `from`, and completes the progress: `building` ends the stage `queued`, an end ends all stages.
   * @returns whether it was changed
   */
  move(id: string, { from, to, reason, message }: Move): Promise<boolean> {
    const now = Date.now();
    return this.#change(id, (row) => {
      if (!from.includes(row.status)) return undefined;
      const progress = JSON.parse(row.progress) as RevisionProgress;
      if (to === "queued" || to === "building")
        return { status: to, progress: JSON.stringify(withStage(progress, "queued", queuedStatus[to], now)) };
      const failure = to === "failed" ? (reason ?? "error") : null;
      return {
        status: to,
        failure_reason: failure,
        failure_message: failure === null ? null : (message?.slice(0, longestMessage) ?? null),
        build_finished_at: now,
        progress: JSON.stringify(ended(progress, to, failure, now)),
      };
    });
  }

  /** @param update of the progress, while the revision is not at its end. @returns whether it was changed */
  setProgress(id: string, update: (progress: RevisionProgress) => RevisionProgress): Promise<boolean> {
    return this.#change(id, (row) =>
      isLive(row) ? { progress: JSON.stringify(update(JSON.parse(row.progress) as RevisionProgress)) } : undefined,
    );
  }

  setContent(id: string, content: Content): Promise<boolean> {
    return this.#change(id, () => content);
  }

  /** @throws CaissonError `not_found` */
  async set(
    id: string,
    values: Partial<Pick<RevisionRow, "retention" | "used_at" | "disabled_at">>,
  ): Promise<RevisionRow> {
    await this.#change(id, () => values);
    const row = await this.get(id);
    if (row === undefined) throw revisionNotFound(id);
    return row;
  }

  /** Notes that the build shall end. @returns whether it had not ended yet */
  requestCancellation(id: string): Promise<boolean> {
    return this.#change(id, (row) =>
      isLive(row) ? { cancellation_requested_at: row.cancellation_requested_at ?? Date.now() } : undefined,
    );
  }

  async #change(id: string, change: (row: RevisionRow) => Partial<RevisionRow> | undefined): Promise<boolean> {
    const changed = await this.#db.transaction().execute(async (trx) => {
      let query = trx.selectFrom("revisions").selectAll().where("id", "=", id).where("deleted_at", "is", null);
      if (this.#lockRows) query = query.forUpdate();
      const row = await query.executeTakeFirst();
      const values = row === undefined ? undefined : change(row);
      if (values === undefined) return false;
      await trx.updateTable("revisions").set(values).where("id", "=", id).execute();
      return true;
    });
    if (changed) this.#watch.notify(id);
    return changed;
  }
}

const queuedStatus = { queued: "running", building: "succeeded" } as const;

export function revisionNotFound(id: string): CaissonError {
  return new CaissonError("not_found", `No such revision: \`${id.slice(0, 64)}\`.`, { wireCode: "REVISION_NOT_FOUND" });
}

function sealContext(revisionId: string): string {
  return JSON.stringify(["revision-env", revisionId]);
}

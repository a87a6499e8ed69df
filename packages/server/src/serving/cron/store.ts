/** Rows of cron jobs: what revisions registered, and when the jobs of production run. */
import type { CronJobRow, ServingDatabase } from "../tables.ts";
import type { GuestJob } from "./guest.ts";

/** A job that production has now. */
export interface CurrentJob {
  readonly appId: string;
  readonly orgId: string;
  readonly revisionId: string;
  readonly name: string;
  readonly schedule: string;
  /** Milliseconds before each retry. */
  readonly backoff: readonly number[];
}

/** Of jobs that name none, as in Deno. Milliseconds. */
const standardBackoff = [100, 1_000, 5_000, 30_000, 60_000];

export class CronStore {
  readonly #db: ServingDatabase;
  readonly #nodeId: string;

  constructor(db: ServingDatabase, nodeId: string) {
    this.#db = db;
    this.#nodeId = nodeId;
  }

  async has(revisionId: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom("revision_crons")
      .select("name")
      .where("revision_id", "=", revisionId)
      .executeTakeFirst();
    return row !== undefined;
  }

  /** What a revision registered. Again: nothing changes. */
  async register(revisionId: string, jobs: readonly GuestJob[]): Promise<void> {
    if (jobs.length === 0) return;
    await this.#db
      .insertInto("revision_crons")
      .values(
        jobs.map(({ name, schedule, backoffSchedule }) => ({
          revision_id: revisionId,
          name,
          schedule,
          backoff: JSON.stringify(backoffSchedule ?? standardBackoff),
        })),
      )
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  /** Those of all revisions that production serves and this node has. */
  async current(): Promise<CurrentJob[]> {
    const rows = await this.#db
      .selectFrom("revision_crons")
      .innerJoin("timelines", "timelines.revision_id", "revision_crons.revision_id")
      .innerJoin("revision_contents", "revision_contents.revision_id", "revision_crons.revision_id")
      .innerJoin("apps", "apps.id", "timelines.app_id")
      .select(["timelines.app_id", "timelines.org_id", "revision_crons.revision_id", "name", "schedule", "backoff"])
      .where("timelines.key", "=", "production")
      .where("revision_contents.node_id", "=", this.#nodeId)
      .where("apps.deleted_at", "is", null)
      .execute();
    return rows.map(({ app_id, org_id, revision_id, name, schedule, backoff }) => ({
      appId: app_id,
      orgId: org_id,
      revisionId: revision_id,
      name,
      schedule,
      backoff: JSON.parse(backoff) as number[],
    }));
  }

  /** Those of this node. */
  jobs(): Promise<CronJobRow[]> {
    return this.#db.selectFrom("cron_jobs").selectAll().where("node_id", "=", this.#nodeId).execute();
  }

  of(appId: string): Promise<CronJobRow[]> {
    return this.#db.selectFrom("cron_jobs").selectAll().where("app_id", "=", appId).orderBy("name").execute();
  }

  /** Of an app that had no such job, or one on another node. */
  async create({ appId, name, schedule, backoff }: CurrentJob, nextAt: number): Promise<void> {
    const values = {
      node_id: this.#nodeId,
      schedule,
      backoff: JSON.stringify(backoff),
      next_at: nextAt,
      attempt: 0,
      started_at: null,
    };
    await this.#db
      .insertInto("cron_jobs")
      .values({
        app_id: appId,
        name,
        ...values,
        tick_at: nextAt,
        last_started_at: null,
        last_ended_at: null,
        last_error: null,
      })
      .onConflict((conflict) => conflict.columns(["app_id", "name"]).doUpdateSet({ ...values, tick_at: nextAt }))
      .execute();
  }

  /** @returns whether this run is ours: of several servers one gets it, and only once */
  async claim({ app_id, name, next_at }: CronJobRow, tickAt: number, now: number): Promise<boolean> {
    const { numUpdatedRows } = await this.#db
      .updateTable("cron_jobs")
      .set({ started_at: now, last_started_at: now, last_ended_at: null, tick_at: tickAt })
      .where("app_id", "=", app_id)
      .where("name", "=", name)
      .where("node_id", "=", this.#nodeId)
      .where("next_at", "=", next_at)
      .where("started_at", "is", null)
      .executeTakeFirstOrThrow();
    return numUpdatedRows === 1n;
  }

  /** Nothing changes when another node has taken the job over. */
  async update({ app_id, name }: Pick<CronJobRow, "app_id" | "name">, values: Partial<CronJobRow>): Promise<void> {
    await this.#db
      .updateTable("cron_jobs")
      .set(values)
      .where("app_id", "=", app_id)
      .where("name", "=", name)
      .where("node_id", "=", this.#nodeId)
      .execute();
  }

  /** Unless another node has taken the job over. */
  async remove({ app_id, name }: Pick<CronJobRow, "app_id" | "name">): Promise<void> {
    await this.#db
      .deleteFrom("cron_jobs")
      .where("app_id", "=", app_id)
      .where("name", "=", name)
      .where("node_id", "=", this.#nodeId)
      .execute();
  }
}

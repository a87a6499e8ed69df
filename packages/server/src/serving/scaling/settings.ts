/** How many instances apps may have, and how busy one should be: what their owners set, and what the server is configured to otherwise. */
import type { AppScaling, AppScalingRequest } from "@caisson/api";
import { CaissonError, type Config } from "@caisson/protocol";
import type { AppScalingRow, ServingDatabase } from "../tables.ts";

export class ScalingSettings {
  readonly #db: ServingDatabase;
  readonly #config: Config["serving"];
  /** Of apps that have settings of their own. The scaler asks all the time. */
  #known: ReadonlyMap<string, AppScaling> = new Map();

  constructor(db: ServingDatabase, config: Config["serving"]) {
    this.#db = db;
    this.#config = config;
  }

  /** As it is known here: a change by another server is known after the next `refresh`. */
  of(appId: string): AppScaling {
    return this.#known.get(appId) ?? this.#resolve(undefined);
  }

  /** Apps whose owners want instances even when nobody asks. */
  kept(): string[] {
    return [...this.#known].filter(([, { min_instances }]) => min_instances > 0).map(([appId]) => appId);
  }

  async refresh(): Promise<void> {
    const rows = await this.#db.selectFrom("app_scaling").selectAll().execute();
    this.#known = new Map(rows.map((row) => [row.app_id, this.#resolve(row)]));
  }

  /** Replaces all settings of an app. @throws CaissonError `invalid_argument` */
  async set(appId: string, wanted: AppScalingRequest): Promise<AppScaling> {
    const row: Omit<AppScalingRow, "app_id"> = {
      min_instances: wanted.min_instances ?? null,
      max_instances: wanted.max_instances ?? null,
      concurrency: wanted.concurrency ?? null,
      target: wanted.target ?? null,
    };
    const resolved = this.#resolve(row);
    this.#check(resolved);
    await this.#db
      .insertInto("app_scaling")
      .values({ app_id: appId, ...row })
      .onConflict((conflict) => conflict.column("app_id").doUpdateSet(row))
      .execute();
    await this.refresh();
    return resolved;
  }

  async clear(appId: string): Promise<void> {
    await this.#db.deleteFrom("app_scaling").where("app_id", "=", appId).execute();
    await this.refresh();
  }

  #resolve(row: Omit<AppScalingRow, "app_id"> | undefined): AppScaling {
    const { minInstances, maxInstances, concurrency, targetUtilization } = this.#config;
    const most = row?.concurrency ?? concurrency;
    // Whoever sets one of the two means the other as well.
    const max = row?.max_instances ?? Math.max(maxInstances, row?.min_instances ?? 0);
    return {
      min_instances: row?.min_instances ?? Math.min(minInstances, max),
      max_instances: max,
      concurrency: most,
      target: row?.target ?? most * targetUtilization,
    };
  }

  #check({ min_instances: min, max_instances: max, concurrency, target }: AppScaling): void {
    const most = this.#config.instancesPerOrganisation;
    if (max > most)
      throw new CaissonError(
        "invalid_argument",
        `max_instances is ${max}, but an organisation can have ${most} instances.`,
      );
    if (min > max)
      throw new CaissonError("invalid_argument", `min_instances (${min}) must not be above max_instances (${max}).`);
    if (target > concurrency)
      throw new CaissonError("invalid_argument", `target (${target}) must not be above concurrency (${concurrency}).`);
  }
}

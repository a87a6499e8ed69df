/** Domains of apps: claimed, proved, served, removed. */
import { randomBytes } from "node:crypto";
import { CaissonError } from "@caisson/protocol";
import type { AppRow } from "../apps/index.ts";
import type { Proof } from "./proof.ts";
import type { AppDomainRow, DomainDatabase } from "./tables.ts";

export interface DomainsOptions {
  readonly db: DomainDatabase;
  readonly proof: Proof;
  /** False: a claim is enough, unless another app has the domain. */
  readonly verify: boolean;
  /** Most of one app. */
  readonly most: number;
  /** A domain came to an app that serves it, or left one that did: whatever remembers where it leads must forget it. Must not throw. */
  readonly changed: (domain: string) => void;
}

export class Domains {
  readonly #options: DomainsOptions;

  constructor(options: DomainsOptions) {
    this.#options = options;
  }

  /** Adding one again answers with what there is. @throws CaissonError `resource_exhausted`, `already_exists` */
  async add(app: AppRow, domain: string): Promise<AppDomainRow> {
    const { db, verify, most } = this.#options;
    const all = await this.list(app.id);
    const known = all.find((row) => row.domain === domain);
    if (known !== undefined) return known;
    if (all.length >= most) throw tooMany(all.length);
    const token = randomBytes(20).toString("hex");
    const row = { app_id: app.id, domain, token, created_at: Date.now(), verified_at: null };
    await db
      .insertInto("app_domains")
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    // Requests at the same time all saw room for theirs.
    const count = (await this.list(app.id)).length;
    if (count > most) {
      await this.remove(app.id, domain);
      throw tooMany(count - 1);
    }
    if (verify) return this.#require(app.id, domain);
    if ((await this.find(domain)) !== undefined) {
      await this.remove(app.id, domain);
      throw new CaissonError("already_exists", `Another app serves ${domain}. Remove it there first.`);
    }
    return this.#serve(app.id, domain);
  }

  /** In alphabetical order. */
  list(appId: string): Promise<AppDomainRow[]> {
    return this.#options.db
      .selectFrom("app_domains")
      .selectAll()
      .where("app_id", "=", appId)
      .orderBy("domain")
      .execute();
  }

  /** Whoever proves a domain gets it, also when another app had it: its DNS decides. @throws CaissonError, see `Proof.require` */
  async verify(appId: string, domain: string): Promise<AppDomainRow> {
    const row = await this.#require(appId, domain);
    if (row.verified_at !== null) return row;
    await this.#options.proof.require(domain, row.token);
    return this.#serve(appId, domain);
  }

  /** @throws CaissonError `not_found` */
  async remove(appId: string, domain: string): Promise<void> {
    const query = this.#options.db.deleteFrom("app_domains").where("app_id", "=", appId).where("domain", "=", domain);
    const row = await query.returningAll().executeTakeFirst();
    if (row === undefined) throw notFound(domain);
    this.#removed(row);
  }

  async removeAll(appId: string): Promise<void> {
    const query = this.#options.db.deleteFrom("app_domains").where("app_id", "=", appId);
    for (const row of await query.returningAll().execute()) this.#removed(row);
  }

  /** Who serves a domain: slugs of the app and its organisation. */
  find(domain: string): Promise<{ org: string; app: string } | undefined> {
    return this.#options.db
      .selectFrom("app_domains")
      .innerJoin("apps", "apps.id", "app_domains.app_id")
      .innerJoin("orgs", "orgs.id", "apps.org_id")
      .select(["orgs.slug as org", "apps.slug as app"])
      .where("app_domains.domain", "=", domain)
      .where("app_domains.verified_at", "is not", null)
      .where("apps.deleted_at", "is", null)
      .executeTakeFirst();
  }

  /** A claim leads nowhere. When it is removed, another app that serves the domain keeps its certificate. */
  #removed({ domain, verified_at }: AppDomainRow): void {
    if (verified_at !== null) this.#options.changed(domain);
  }

  async #serve(appId: string, domain: string): Promise<AppDomainRow> {
    const { db, changed } = this.#options;
    await db.transaction().execute(async (trx) => {
      const rows = trx.updateTable("app_domains").where("domain", "=", domain);
      await rows.set({ verified_at: null }).where("app_id", "!=", appId).execute();
      await rows.set({ verified_at: Date.now() }).where("app_id", "=", appId).execute();
    });
    changed(domain);
    return this.#require(appId, domain);
  }

  async #require(appId: string, domain: string): Promise<AppDomainRow> {
    const row = (await this.list(appId)).find((entry) => entry.domain === domain);
    if (row === undefined) throw notFound(domain);
    return row;
  }
}

function tooMany(count: number): CaissonError {
  return new CaissonError("resource_exhausted", `This app has ${count} domains, the limit. Remove one.`);
}

function notFound(domain: string): CaissonError {
  return new CaissonError("not_found", `The app has no domain \`${domain.slice(0, 100)}\`.`);
}

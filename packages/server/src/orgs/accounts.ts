/** Organisations and tokens as an operator manages them. Several processes can do so on one database. */
import { randomUUID } from "node:crypto";
import { CaissonError } from "@caisson/protocol";
import { isValid, newToken } from "./tokens.ts";
import type { OrgDatabase } from "./tables.ts";

export interface OrgEntry {
  readonly slug: string;
  readonly createdAt: Date;
  /** Most running sandboxes at a time. Null: as configured for all. */
  readonly concurrentSandboxes: number | null;
  /** Tokens that are valid now. */
  readonly tokens: number;
}

export interface TokenEntry {
  readonly id: string;
  readonly org: string;
  readonly name: string;
  readonly createdAt: Date;
  /** Null: never. */
  readonly expiresAt: Date | null;
  readonly state: "valid" | "revoked" | "expired";
}

/** Shown once: only its hash is stored. */
export interface CreatedToken {
  readonly id: string;
  readonly org: string;
  readonly token: string;
  readonly expiresAt: Date | null;
}

export class Accounts {
  readonly #db: OrgDatabase;

  constructor(db: OrgDatabase) {
    this.#db = db;
  }

  /** @throws CaissonError `invalid_argument`, `already_exists` */
  async createOrg(slug: string, concurrentSandboxes: number | null = null): Promise<void> {
    if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(slug))
      throw new CaissonError(
        "invalid_argument",
        `\`${slug.slice(0, 100)}\` cannot name an organisation. Use 1 to 63 lower-case letters, digits and inner hyphens.`,
      );
    if (concurrentSandboxes !== null && !(Number.isSafeInteger(concurrentSandboxes) && concurrentSandboxes >= 0))
      throw new CaissonError("invalid_argument", "The number of sandboxes must be a whole number from 0.");
    const { numInsertedOrUpdatedRows } = await this.#db
      .insertInto("orgs")
      .values({ id: randomUUID(), slug, created_at: Date.now(), concurrent_sandboxes: concurrentSandboxes })
      .onConflict((conflict) => conflict.column("slug").doNothing())
      .executeTakeFirstOrThrow();
    if (numInsertedOrUpdatedRows === 0n)
      throw new CaissonError("already_exists", `There is already an organisation \`${slug}\`.`);
  }

  async listOrgs(): Promise<readonly OrgEntry[]> {
    const orgs = await this.#db.selectFrom("orgs").selectAll().orderBy("slug").execute();
    const valid = await this.#db.selectFrom("tokens").select("org_id").where(isValid).execute();
    return orgs.map(({ id, slug, created_at, concurrent_sandboxes }) => ({
      slug,
      createdAt: new Date(created_at),
      concurrentSandboxes: concurrent_sandboxes,
      tokens: valid.filter(({ org_id }) => org_id === id).length,
    }));
  }

  /** @param org all organisations when undefined @throws CaissonError `not_found` */
  async listTokens(org?: string): Promise<readonly TokenEntry[]> {
    if (org !== undefined) await this.#orgId(org);
    let query = this.#db
      .selectFrom("tokens")
      .innerJoin("orgs", "orgs.id", "tokens.org_id")
      .selectAll("tokens")
      .select("orgs.slug as org");
    if (org !== undefined) query = query.where("orgs.slug", "=", org);
    const rows = await query.orderBy("orgs.slug").orderBy("tokens.created_at").execute();
    return rows.map((row) => ({
      id: row.id,
      org: row.org,
      name: row.name,
      createdAt: new Date(row.created_at),
      expiresAt: row.expires_at === null ? null : new Date(row.expires_at),
      state: stateOf(row),
    }));
  }

  /**
   * @param lifetime milliseconds; undefined: it never expires
   * @throws CaissonError `not_found`, `invalid_argument`
   */
  async createToken(org: string, name: string, lifetime?: number): Promise<CreatedToken> {
    if (name === "" || name.length > 100)
      throw new CaissonError("invalid_argument", "The name of a token has 1 to 100 characters.");
    return await this.#create(await this.#orgId(org), org, name, lifetime);
  }

  /** Connections that use it end within seconds. @throws CaissonError `not_found` when it does not exist or is revoked */
  async revokeToken(id: string): Promise<void> {
    const { numUpdatedRows } = await this.#db
      .updateTable("tokens")
      .set({ revoked_at: Date.now(), sealed: null })
      .where("id", "=", id)
      .where("revoked_at", "is", null)
      .executeTakeFirstOrThrow();
    if (numUpdatedRows === 0n) throw noToken(id);
  }

  /** Revokes all tokens of an organisation. @returns how many were revoked @throws CaissonError `not_found` */
  async revokeOrg(org: string): Promise<number> {
    const { numUpdatedRows } = await this.#db
      .updateTable("tokens")
      .set({ revoked_at: Date.now(), sealed: null })
      .where("org_id", "=", await this.#orgId(org))
      .where("revoked_at", "is", null)
      .executeTakeFirstOrThrow();
    return Number(numUpdatedRows);
  }

  /**
   * A new token with the organisation and name of another, which ends.
   * @param options `overlap`: milliseconds that the former token stays valid, so that clients can change over; at once by default.
   *   `lifetime`: as in `createToken`
   * @throws CaissonError `not_found` when it is not valid
   */
  async rotateToken(id: string, options: { readonly overlap?: number; readonly lifetime?: number } = {}) {
    const former = await this.#db
      .selectFrom("tokens")
      .innerJoin("orgs", "orgs.id", "tokens.org_id")
      .select(["tokens.org_id", "tokens.name", "tokens.expires_at", "orgs.slug"])
      .where("tokens.id", "=", id)
      .where(isValid)
      .executeTakeFirst();
    if (former === undefined) throw noToken(id);
    const created = await this.#create(former.org_id, former.slug, former.name, options.lifetime);
    const { overlap = 0 } = options;
    const end = Date.now() + overlap;
    if (overlap === 0) await this.revokeToken(id);
    else
      await this.#db
        .updateTable("tokens")
        .set({ expires_at: Math.min(end, former.expires_at ?? end), sealed: null })
        .where("id", "=", id)
        .execute();
    return created;
  }

  async #create(orgId: string, org: string, name: string, lifetime: number | undefined): Promise<CreatedToken> {
    const expiresAt = lifetime === undefined ? null : Date.now() + lifetime;
    const { token, row } = newToken({ orgId, name, expiresAt });
    await this.#db.insertInto("tokens").values(row).execute();
    return { id: row.id, org, token, expiresAt: expiresAt === null ? null : new Date(expiresAt) };
  }

  async #orgId(slug: string): Promise<string> {
    const row = await this.#db.selectFrom("orgs").select("id").where("slug", "=", slug).executeTakeFirst();
    if (row === undefined)
      throw new CaissonError(
        "not_found",
        `There is no organisation \`${slug.slice(0, 100)}\`. List them with: npm run orgs -- list`,
      );
    return row.id;
  }
}

function stateOf(row: { readonly revoked_at: number | null; readonly expires_at: number | null }): TokenEntry["state"] {
  if (row.revoked_at !== null) return "revoked";
  return row.expires_at !== null && row.expires_at <= Date.now() ? "expired" : "valid";
}

function noToken(id: string): CaissonError {
  return new CaissonError(
    "not_found",
    `There is no valid token with the id \`${id.slice(0, 100)}\`. List them with: npm run tokens -- list`,
  );
}

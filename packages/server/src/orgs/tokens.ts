/** Organisations and their tokens. A token is 256 random bits, so its plain SHA-256 can be stored and looked up by. */
import { createHash, randomUUID } from "node:crypto";
import { CaissonError } from "@caisson/protocol";
import type { Sealer } from "../kernel/sealing.ts";
import type { Authenticator, Org, Principal } from "../kernel/http/context.ts";
import type { ExpressionBuilder } from "kysely";
import { RecentTokens } from "./recent-tokens.ts";
import type { OrgDatabase, OrgTables, TokensTable } from "./tables.ts";
import { randomText } from "../kernel/random-text.ts";

const developmentSlug = "development";

export class Tokens implements Authenticator {
  readonly #db: OrgDatabase;
  readonly #recent = new RecentTokens();

  constructor(db: OrgDatabase) {
    this.#db = db;
  }

  /**
   * The organisation that a request acts for.
   * @throws CaissonError `unauthenticated` (wire code INVALID_TOKEN), `forbidden` when the token is of another organisation than named
   */
  async authenticate(authorization: string | undefined, orgSlug: string | undefined): Promise<Principal> {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) throw invalidToken("The request has no token. Send `Authorization: Bearer ddo_...`.");
    const hash = hashToken(token);
    const found = await this.#recent.find(hash, () => this.#find(hash));
    if (found === undefined)
      throw invalidToken(
        "This server does not know the token, or it was revoked or has expired. Check DENO_DEPLOY_TOKEN.",
      );
    const { org } = found;
    if (orgSlug !== undefined && orgSlug !== "" && orgSlug !== org.slug) {
      throw new CaissonError("forbidden", `The token does not belong to the organisation \`${orgSlug.slice(0, 64)}\`.`);
    }
    return found;
  }

  async validTokens(ids: readonly string[]): Promise<ReadonlySet<string>> {
    const valid = new Set<string>();
    for (let from = 0; from < ids.length; from += 500) {
      const query = this.#db
        .selectFrom("tokens")
        .select("id")
        .where("id", "in", ids.slice(from, from + 500));
      for (const { id } of await query.where(isValid).execute()) valid.add(id);
    }
    return valid;
  }

  /** The look-up goes by hash: its timing tells nothing about tokens that exist. */
  async #find(hash: string): Promise<Principal | undefined> {
    const found = await this.#db
      .selectFrom("tokens")
      .innerJoin("orgs", "orgs.id", "tokens.org_id")
      .select(["orgs.id", "orgs.slug", "orgs.concurrent_sandboxes as concurrentSandboxes", "tokens.id as tokenId"])
      .where("tokens.hash", "=", hash)
      .where(isValid)
      .executeTakeFirst();
    if (found === undefined) return undefined;
    const { tokenId, ...org } = found;
    return { org, tokenId };
  }

  async createOrg(slug: string, concurrentSandboxes: number | null = null): Promise<Org> {
    const org = { id: randomUUID(), slug, concurrentSandboxes };
    await this.#db
      .insertInto("orgs")
      .values({ id: org.id, slug, created_at: Date.now(), concurrent_sandboxes: concurrentSandboxes })
      .execute();
    return org;
  }

  /** Makes a token for `npm start`, which prints it again at every start. */
  async #createDevelopmentToken(orgId: string, sealer: Sealer): Promise<string> {
    const { token, row } = newToken({ orgId, name: "development", expiresAt: null });
    await this.#db
      .insertInto("tokens")
      .values({ ...row, sealed: sealer.seal(token, `token/${orgId}`) })
      .execute();
    return token;
  }

  /** The organisation and token of a new installation, made on the first start and the same on every later one. */
  async development(sealer: Sealer, concurrentSandboxes: number): Promise<{ org: string; token: string }> {
    const existing = await this.#db
      .selectFrom("orgs")
      .selectAll()
      .where("slug", "=", developmentSlug)
      .executeTakeFirst();
    const id = existing?.id ?? (await this.createOrg(developmentSlug, concurrentSandboxes)).id;
    await this.#db
      .updateTable("orgs")
      .set({ concurrent_sandboxes: concurrentSandboxes })
      .where("id", "=", id)
      .execute();
    const kept = await this.#db
      .selectFrom("tokens")
      .select("sealed")
      .where("org_id", "=", id)
      .where("sealed", "is not", null)
      .where(isValid)
      .execute();
    // Several servers can share the database; each has a key, and so a token, of its own.
    const opened = kept.map(({ sealed }) => openOwn(sealer, sealed!, id)).find((token) => token !== undefined);
    const token = opened ?? (await this.#createDevelopmentToken(id, sealer));
    return { org: developmentSlug, token };
  }
}

/** Undefined when another server sealed it. */
function openOwn(sealer: Sealer, sealed: string, orgId: string): string | undefined {
  try {
    return sealer.open(sealed, `token/${orgId}`);
  } catch {
    return undefined;
  }
}

/** Neither revoked nor expired now. */
export function isValid(eb: ExpressionBuilder<OrgTables, "tokens">) {
  return eb.and([
    eb("tokens.revoked_at", "is", null),
    eb.or([eb("tokens.expires_at", "is", null), eb("tokens.expires_at", ">", Date.now())]),
  ]);
}

export interface TokenWish {
  readonly orgId: string;
  readonly name: string;
  /** Milliseconds since the epoch. Null: never. */
  readonly expiresAt: number | null;
}

/** A token, and its row without the token itself: it cannot be read again later. */
export function newToken({ orgId, name, expiresAt }: TokenWish): { readonly token: string; readonly row: TokensTable } {
  const token = `ddo_${randomText(43)}`;
  const row = {
    id: randomUUID(),
    org_id: orgId,
    hash: hashToken(token),
    name,
    sealed: null,
    created_at: Date.now(),
    revoked_at: null,
    expires_at: expiresAt,
  };
  return { token, row };
}

function hashToken(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

function invalidToken(message: string): CaissonError {
  return new CaissonError("unauthenticated", message, { wireCode: "INVALID_TOKEN" });
}

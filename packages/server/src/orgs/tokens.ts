/** Organisations and their tokens. A token is 256 random bits, so its plain SHA-256 can be stored and looked up by. */
import { createHash, randomUUID } from "node:crypto";
import { CaissonError } from "@caisson/protocol";
import type { Sealer } from "../kernel/sealing.ts";
import type { Authenticator, Org } from "../kernel/http/context.ts";
import type { OrgDatabase } from "./tables.ts";
import { randomText } from "../kernel/random-text.ts";

const developmentSlug = "development";

export class Tokens implements Authenticator {
  readonly #db: OrgDatabase;

  constructor(db: OrgDatabase) {
    this.#db = db;
  }

  /**
   * The organisation that a request acts for.
   * @throws CaissonError `unauthenticated` (wire code INVALID_TOKEN), `forbidden` when the token is of another organisation than named
   */
  async authenticate(authorization: string | undefined, orgSlug: string | undefined): Promise<Org> {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) throw invalidToken("The request has no token. Send `Authorization: Bearer ddo_...`.");
    // The look-up goes by hash: its timing tells nothing about tokens that exist.
    const org = await this.#db
      .selectFrom("tokens")
      .innerJoin("orgs", "orgs.id", "tokens.org_id")
      .select(["orgs.id", "orgs.slug", "orgs.concurrent_sandboxes as concurrentSandboxes"])
      .where("tokens.hash", "=", hashToken(token))
      .where("tokens.revoked_at", "is", null)
      .executeTakeFirst();
    if (org === undefined) throw invalidToken("This server does not know the token. Check DENO_DEPLOY_TOKEN.");
    if (orgSlug !== undefined && orgSlug !== "" && orgSlug !== org.slug) {
      throw new CaissonError("forbidden", `The token does not belong to the organisation \`${orgSlug.slice(0, 64)}\`.`);
    }
    return org;
  }

  async createOrg(slug: string, concurrentSandboxes: number | null = null): Promise<Org> {
    const org = { id: randomUUID(), slug, concurrentSandboxes };
    await this.#db
      .insertInto("orgs")
      .values({ id: org.id, slug, created_at: Date.now(), concurrent_sandboxes: concurrentSandboxes })
      .execute();
    return org;
  }

  /** Makes a token; it cannot be read again later. */
  async createToken(orgId: string, name: string, sealer?: Sealer): Promise<string> {
    const id = randomUUID();
    const token = `ddo_${randomText(43)}`;
    await this.#db
      .insertInto("tokens")
      .values({
        id,
        org_id: orgId,
        hash: hashToken(token),
        name,
        sealed: sealer?.seal(token, `token/${orgId}`) ?? null,
        created_at: Date.now(),
        revoked_at: null,
      })
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
      .where("revoked_at", "is", null)
      .execute();
    // Several servers can share the database; each has a key, and so a token, of its own.
    const opened = kept.map(({ sealed }) => openOwn(sealer, sealed!, id)).find((token) => token !== undefined);
    const token = opened ?? (await this.createToken(id, "development", sealer));
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

function hashToken(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

function invalidToken(message: string): CaissonError {
  return new CaissonError("unauthenticated", message, { wireCode: "INVALID_TOKEN" });
}

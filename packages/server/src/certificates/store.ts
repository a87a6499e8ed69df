/** Certificates and the account's key in the database, sealed with the installation's key. */
import type { PublicCertificate } from "@caisson/protocol";
import type { Kysely } from "kysely";
import type { Sealer } from "../kernel/sealing.ts";

interface Tables {
  acme_accounts: { directory: string; sealed_key: string };
  public_certificates: { host: string; sealed: string; not_before: number; not_after: number };
}

export interface StoredCertificate extends PublicCertificate {
  /** A hostname, or `*.` and one. */
  readonly host: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export class CertificateStore {
  readonly #db: Kysely<Tables>;
  readonly #sealer: Sealer;

  constructor(db: Kysely<Tables>, sealer: Sealer) {
    this.#db = db;
    this.#sealer = sealer;
  }

  /** @returns PEM. Each server whose key differs makes its own */
  async accountKey(directory: string, make: () => Promise<string>): Promise<string> {
    const context = `acme account ${directory}`;
    const row = await this.#db
      .selectFrom("acme_accounts")
      .select("sealed_key")
      .where("directory", "=", directory)
      .executeTakeFirst();
    const known = row && this.#open(row.sealed_key, context);
    if (known !== undefined) return known;
    const key = await make();
    const sealed_key = this.#sealer.seal(key, context);
    await this.#db
      .insertInto("acme_accounts")
      .values({ directory, sealed_key })
      .onConflict((conflict) => conflict.column("directory").doUpdateSet({ sealed_key }))
      .execute();
    return key;
  }

  /** Without those that a server with another key has stored. */
  async all(): Promise<StoredCertificate[]> {
    const rows = await this.#db.selectFrom("public_certificates").selectAll().execute();
    return rows.flatMap(({ host, sealed, not_before, not_after }) => {
      const opened = this.#open(sealed, `certificate ${host}`);
      if (opened === undefined) return [];
      const { cert, key } = JSON.parse(opened) as PublicCertificate;
      return [{ host, cert, key, notBefore: not_before, notAfter: not_after }];
    });
  }

  #open(sealed: string, context: string): string | undefined {
    try {
      return this.#sealer.open(sealed, context);
    } catch {
      return undefined;
    }
  }

  async put({ host, cert, key, notBefore, notAfter }: StoredCertificate): Promise<void> {
    const row = {
      sealed: this.#sealer.seal(JSON.stringify({ cert, key }), `certificate ${host}`),
      not_before: notBefore,
      not_after: notAfter,
    };
    await this.#db
      .insertInto("public_certificates")
      .values({ host, ...row })
      .onConflict((conflict) => conflict.column("host").doUpdateSet(row))
      .execute();
  }

  async remove(host: string): Promise<void> {
    await this.#db.deleteFrom("public_certificates").where("host", "=", host).execute();
  }
}

/**
 * What revisions are made of: their files, and the network policy and secrets that their instances get. Placeholders belong to the
 * revision, so all its instances have the same ones.
 */
import { CaissonError, type EgressSpec, type SandboxNode, type SecretBinding, type TreeEntry } from "@caisson/protocol";
import type { Sealer } from "../kernel/sealing.ts";
import type { ServingDatabase } from "./tables.ts";

export interface RevisionContent {
  readonly tree: readonly TreeEntry[];
  readonly egress: EgressSpec;
}

/** Milliseconds that contents which no revision names are kept: a deployment may be storing them. */
const unclaimed = 24 * 3600_000;

/** The image that a build of the revision reads. */
export function sourceImage(revisionId: string): string {
  return `src${revisionId}`;
}

/** The image with what earlier builds of its app downloaded. */
export function cacheImage(revisionId: string): string {
  return `cache${revisionId}`;
}

export interface ContentsOptions {
  readonly db: ServingDatabase;
  readonly sealer: Sealer;
  readonly node: SandboxNode;
}

export class RevisionContents {
  readonly #options: ContentsOptions;
  readonly #others: (() => Promise<readonly string[]>)[] = [];

  constructor(options: ContentsOptions) {
    this.#options = options;
  }

  /** @param digests of contents that somebody else needs on this node */
  keepAlso(digests: () => Promise<readonly string[]>): void {
    this.#others.push(digests);
  }

  /** Once, and again after a build. */
  async store(revisionId: string, { tree, egress }: RevisionContent): Promise<void> {
    const { db, sealer, node } = this.#options;
    const allow_net = egress.policy.allow === undefined ? null : JSON.stringify(egress.policy.allow);
    const secrets = egress.secrets.length === 0 ? null : JSON.stringify(egress.secrets);
    const values = {
      node_id: node.id,
      tree: JSON.stringify(tree),
      allow_net,
      sealed_secrets: secrets === null ? null : sealer.seal(secrets, sealContext(revisionId, allow_net)),
    };
    await db
      .insertInto("revision_contents")
      .values({ revision_id: revisionId, ...values })
      .onConflict((conflict) => conflict.column("revision_id").doUpdateSet(values))
      .execute();
  }

  /** @throws CaissonError `not_found`, `unavailable` when another node has its files */
  async of(revisionId: string): Promise<RevisionContent> {
    const { db, sealer, node } = this.#options;
    const row = await db
      .selectFrom("revision_contents")
      .selectAll()
      .where("revision_id", "=", revisionId)
      .executeTakeFirst();
    if (row === undefined) throw new CaissonError("not_found", `Revision ${revisionId} has no files.`);
    if (row.node_id !== node.id)
      throw new CaissonError("unavailable", `Revision ${revisionId} is stored on node ${row.node_id}. Use its server.`);
    const secrets =
      row.sealed_secrets === null ? "[]" : sealer.open(row.sealed_secrets, sealContext(revisionId, row.allow_net));
    return {
      tree: JSON.parse(row.tree) as TreeEntry[],
      egress: {
        policy: row.allow_net === null ? {} : { allow: JSON.parse(row.allow_net) as string[] },
        secrets: JSON.parse(secrets) as SecretBinding[],
      },
    };
  }

  /** Which node has them, and whether there are files yet. Undefined: nothing was stored. */
  async find(revisionId: string): Promise<{ readonly nodeId: string; readonly files: boolean } | undefined> {
    const { db } = this.#options;
    const row = await db
      .selectFrom("revision_contents")
      .select((eb) => ["node_id", eb.fn<number>("length", ["tree"]).as("length")])
      .where("revision_id", "=", revisionId)
      .executeTakeFirst();
    return row === undefined ? undefined : { nodeId: row.node_id, files: row.length > "[]".length };
  }

  /** Idempotent. Its contents are removed by `prune`, unless other revisions have them. */
  async remove(revisionId: string): Promise<void> {
    const { db, node } = this.#options;
    await node.files.removeImage(revisionId);
    await db.deleteFrom("revision_contents").where("revision_id", "=", revisionId).execute();
  }

  /** Removes contents and images on this node that no revision needs any more. */
  async prune(): Promise<void> {
    const { db, node } = this.#options;
    const needed = new Set<string>();
    const revisions = new Set<string>();
    const images = await node.files.images();
    for (const digests of this.#others) for (const digest of await digests()) needed.add(digest);
    for (let after = ""; ;) {
      const rows = await db
        .selectFrom("revision_contents")
        .select(["revision_id", "tree"])
        .where("node_id", "=", node.id)
        .where("revision_id", ">", after)
        .orderBy("revision_id")
        .limit(10)
        .execute();
      for (const { revision_id, tree } of rows) {
        revisions.add(revision_id);
        for (const entry of JSON.parse(tree) as TreeEntry[]) if (entry.kind === "file") needed.add(entry.digest);
      }
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last.revision_id;
    }
    const used = new Set([...revisions].flatMap((id) => [id, sourceImage(id), cacheImage(id)]));
    for (const image of images) if (!used.has(image)) await node.files.removeImage(image);
    await node.files.prune(needed, unclaimed);
  }
}

/** Whoever can write to the database, and not read the key, must not widen the policy that the secrets were given to. */
function sealContext(revisionId: string, allowNet: string | null): string {
  return JSON.stringify(["revision", revisionId, allowNet]);
}

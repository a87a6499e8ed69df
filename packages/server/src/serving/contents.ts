/**
 * What revisions are made of: their files, and the network policy and secrets that their instances get. Placeholders belong to the
 * revision, so all its instances have the same ones.
 */
import { CaissonError, type EgressSpec, type SandboxNode, type SecretBinding, type TreeEntry } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Sealer } from "../kernel/sealing.ts";
import { Storing } from "./storing.ts";
import type { ServingDatabase } from "./tables.ts";

export interface RevisionContent {
  readonly tree: readonly TreeEntry[];
  readonly egress: EgressSpec;
}

/** Milliseconds between two prunings: when nobody asks, when a deployment does, and when the disk was full. */
const gaps = { none: 3600_000, usual: 300_000, urgent: 30_000 };

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
  readonly log: Logger;
}

/** What somebody else needs on this node. */
export interface AlsoNeeded {
  /** Digests of contents. */
  readonly contents: () => Promise<readonly string[]>;
  /** Revisions that are being built. */
  readonly builds: () => readonly string[];
}

export class RevisionContents {
  readonly #options: ContentsOptions;
  readonly #others: AlsoNeeded[] = [];
  readonly #storing = new Storing();
  /** On the clock of `performance.now`. */
  #prunedAt = performance.now();
  #wish: keyof typeof gaps = "none";
  /** The last pruning left contents that work in progress might have stored. */
  #left = false;
  /** Revisions that lack files. Undefined before the first look. */
  #damaged: readonly string[] | undefined;

  constructor(options: ContentsOptions) {
    this.#options = options;
  }

  keepAlso(needed: AlsoNeeded): void {
    this.#others.push(needed);
  }

  /**
   * For everything that puts contents on the node: they are kept while it goes on. It names them in a row, or they are removed soon after
   * it has failed.
   */
  async during<T>(work: () => Promise<T>): Promise<T> {
    try {
      const result = await this.#storing.during(work);
      if (this.#left) this.wishPrune();
      return result;
    } catch (error) {
      this.wishPrune(error instanceof CaissonError && error.code === "resource_exhausted");
      throw error;
    }
  }

  /** Something may have become useless. @param urgent the disk is full */
  wishPrune(urgent = false): void {
    if (urgent) this.#wish = "urgent";
    else if (this.#wish === "none") this.#wish = "usual";
  }

  /** Prunes when it is time. It reads what all revisions are made of, so not after each deployment. */
  async pruneInTime(): Promise<void> {
    // Whoever restored a backup without the files is told soon.
    if (this.#damaged === undefined) await this.inspect();
    if (performance.now() - this.#prunedAt >= gaps[this.#wish]) await this.prune();
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
    this.wishPrune();
  }

  /** How many revisions lack files, since somebody removed them or restored an incomplete backup. */
  get damaged(): number {
    return this.#damaged?.length ?? 0;
  }

  /** Looks whether all files are there, and removes none. */
  async inspect(): Promise<void> {
    const { needed } = await this.#wanted();
    await this.#note((await this.#options.node.files.prune(needed, Number.POSITIVE_INFINITY)).missing);
  }

  async #note(missing: ReadonlySet<string>): Promise<void> {
    const damaged: string[] = [];
    if (missing.size > 0)
      for await (const { id, digests } of this.#trees())
        if (digests.some((digest) => missing.has(digest))) damaged.push(id);
    if (damaged.length > 0 && damaged.length !== this.damaged)
      this.#options.log.error(
        { revisions: damaged.slice(0, 20), count: damaged.length },
        "files of apps are missing; restore the directory apps/contents of the home from a backup, or deploy these apps again",
      );
    this.#damaged = damaged;
  }

  /** Removes contents and images on this node that no revision needs any more. */
  async prune(): Promise<void> {
    const { node } = this.#options;
    this.#wish = "none";
    this.#left = this.#storing.busy;
    // All of this in this order: what is stored, or begins to be built, from now on is younger than what is removed.
    const began = performance.now();
    const { age } = this.#storing;
    const images = await node.files.images();
    const { used, needed } = await this.#wanted();
    for (const image of images) if (!used.has(image)) await node.files.removeImage(image);
    const { missing } = await node.files.prune(needed, age + (performance.now() - began));
    await this.#note(missing);
    this.#prunedAt = performance.now();
  }

  async #wanted(): Promise<{ used: ReadonlySet<string>; needed: ReadonlySet<string> }> {
    const builds = this.#others.flatMap((other) => other.builds());
    const used = new Set(builds.flatMap((id) => [sourceImage(id), cacheImage(id)]));
    const needed = new Set<string>();
    for (const other of this.#others) for (const digest of await other.contents()) needed.add(digest);
    for await (const { id, digests } of this.#trees()) {
      used.add(id);
      for (const digest of digests) needed.add(digest);
    }
    return { used, needed };
  }

  /** The revisions on this node, a few at a time: their trees may be long. */
  async *#trees(): AsyncGenerator<{ readonly id: string; readonly digests: readonly string[] }> {
    const { db, node } = this.#options;
    for (let after = ""; ;) {
      const rows = await db
        .selectFrom("revision_contents")
        .select(["revision_id", "tree"])
        .where("node_id", "=", node.id)
        .where("revision_id", ">", after)
        .orderBy("revision_id")
        .limit(10)
        .execute();
      for (const { revision_id: id, tree } of rows) {
        const entries = JSON.parse(tree) as TreeEntry[];
        yield { id, digests: entries.flatMap((entry) => (entry.kind === "file" ? [entry.digest] : [])) };
      }
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last.revision_id;
    }
  }
}

/** Whoever can write to the database, and not read the key, must not widen the policy that the secrets were given to. */
function sealContext(revisionId: string, allowNet: string | null): string {
  return JSON.stringify(["revision", revisionId, allowNet]);
}

/** A static revision: its files are read from the node, without a machine. */
import type { Duplex } from "node:stream";
import type { RuntimeConfig } from "@caisson/api";
import { CaissonError, type NodeFiles } from "@caisson/protocol";
import type { Logger } from "pino";
import type { RevisionContents } from "../contents.ts";
import { within } from "../program.ts";
import { siteConnections } from "./answer.ts";
import { Site } from "./site.ts";

export interface StaticOptions {
  readonly revisionId: string;
  readonly runtime: Extract<RuntimeConfig, { type: "static" }>;
  readonly contents: RevisionContents;
  readonly files: Pick<NodeFiles, "read">;
  readonly log: Logger;
}

export class StaticBackend {
  readonly waiting = 0;
  readonly #options: StaticOptions;
  readonly #open = new Set<Duplex>();
  #connections: Promise<() => Duplex> | undefined;
  #usedAt = performance.now();
  #closed = false;

  constructor(options: StaticOptions) {
    this.#options = options;
  }

  /** Nothing is kept in memory for a site that nobody visits. */
  get idle(): boolean {
    return this.#open.size === 0 && performance.now() - this.#usedAt > 60_000;
  }

  get listening(): boolean {
    return this.#connections !== undefined;
  }

  expect(): void {}

  scale(): void {}

  /** @throws CaissonError `invalid_argument` when the directory is not among the files */
  async start(): Promise<void> {
    await this.#load();
  }

  async connect(): Promise<Duplex> {
    if (this.#closed) throw new CaissonError("gone", "This app, or this revision of it, is no longer served.");
    this.#usedAt = performance.now();
    const stream = (await this.#load())();
    this.#open.add(stream);
    stream.once("close", () => this.#open.delete(stream));
    return stream;
  }

  #load(): Promise<() => Duplex> {
    this.#connections ??= this.#read().catch((error: unknown) => {
      this.#connections = undefined;
      throw error;
    });
    return this.#connections;
  }

  async #read(): Promise<() => Duplex> {
    const { contents, files, revisionId, runtime, log } = this.#options;
    const { tree } = await contents.of(revisionId);
    const root = within(runtime.cwd);
    if (root !== "" && !tree.some(({ path }) => path === root))
      throw new CaissonError(
        "invalid_argument",
        `The directory ${JSON.stringify(root.slice(0, 200))} of the static site is not among the files.`,
      );
    return siteConnections(new Site(tree, root, runtime.spa ?? false), files, log.child({ revision: revisionId }));
  }

  async close(): Promise<void> {
    this.#closed = true;
  }
}

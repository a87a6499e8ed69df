/**
 * What package managers downloaded, kept from one build of an app to the next. It is one archive, which only machines of builds of the same
 * app read: this process never looks into it.
 */
import { CaissonError, type Agent, type SandboxNode } from "@caisson/protocol";
import type { Kysely } from "kysely";
import type { Logger } from "pino";
import type { AppTables } from "../../apps/index.ts";

interface BuildCachesTable {
  app_id: string;
  /** The node that has it. */
  node_id: string;
  digest: string;
  bytes: number;
  /** Milliseconds since the epoch. */
  used_at: number;
}

/** Milliseconds after which a cache that no build used is removed. */
const unused = 30 * 24 * 3600_000;
const directory = "/home/app/.cache/caisson";
/** Where the archive of the last build is mounted, and where Deno's dependencies are kept between builds. */
export const cacheMount = "/app/cache";
export const keptDependencies = `${directory}/dependencies`;

/** Package managers put what they download below the directory. */
export const cacheVariables: Readonly<Record<string, string>> = {
  npm_config_cache: `${directory}/npm`,
  XDG_CACHE_HOME: `${directory}/others`,
  PNPM_HOME: `${directory}/pnpm`,
  BUN_INSTALL_CACHE_DIR: `${directory}/bun`,
};

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("build_caches")
    .ifNotExists()
    .addColumn("app_id", "text", (column) => column.primaryKey().references("apps.id").onDelete("cascade"))
    .addColumn("node_id", "text", (column) => column.notNull())
    .addColumn("digest", "text", (column) => column.notNull())
    .addColumn("bytes", "bigint", (column) => column.notNull())
    .addColumn("used_at", "bigint", (column) => column.notNull())
    .execute();
}

export interface BuildCachesOptions {
  readonly db: Kysely<{ build_caches: BuildCachesTable } & Pick<AppTables, "apps">>;
  readonly node: SandboxNode;
  /** Of one app. 0: nothing is kept. */
  readonly mostBytes: number;
  /** Of all apps of an organisation. */
  readonly mostOfOrganisation: number;
  readonly log: Logger;
}

export class BuildCaches {
  readonly #options: BuildCachesOptions;

  constructor(options: BuildCachesOptions) {
    this.#options = options;
  }

  /**
   * Makes an image for `cacheMount`.
   * @returns whether there is one: not when nothing was kept, another node has it, or it cannot be read, which must not fail a build
   * @throws the reason of the signal
   */
  async pack(appId: string, image: string, signal: AbortSignal): Promise<boolean> {
    const { db, node, log } = this.#options;
    const row = await db.selectFrom("build_caches").selectAll().where("app_id", "=", appId).executeTakeFirst();
    if (row === undefined || row.node_id !== node.id) return false;
    await db.updateTable("build_caches").set({ used_at: Date.now() }).where("app_id", "=", appId).execute();
    const { digest, bytes } = row;
    try {
      await node.files.pack(image, [{ kind: "file", path: "cache.tar", digest, bytes, executable: false }], { signal });
      return true;
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: error, app: appId }, "what earlier builds downloaded could not be used; it is removed");
      // Another build may have replaced it meanwhile.
      await db.deleteFrom("build_caches").where("app_id", "=", appId).where("digest", "=", digest).execute();
      return false;
    }
  }

  /** Before the commands of a build. @param mounted whether there is an archive */
  async unpack(agent: Agent, mounted: boolean, signal: AbortSignal): Promise<void> {
    const archive = mounted ? `tar -xf ${cacheMount}/cache.tar -C ${directory};` : "";
    await this.#run(agent, `mkdir -p ${directory}; ${archive} sleep 0.02; touch ${directory}/unpacked`, signal);
  }

  /** After a build that succeeded. Never throws: the next build only takes longer. */
  async keep(app: { readonly id: string; readonly orgId: string }, agent: Agent, signal: AbortSignal): Promise<void> {
    const { db, node, mostOfOrganisation, log } = this.#options;
    const mostBytes = Math.min(this.#options.mostBytes, mostOfOrganisation);
    const appId = app.id;
    try {
      const changed = `find ${directory} -newer ${directory}/unpacked ! -path '*/_logs*' -type f -print -quit | grep -q .`;
      if (mostBytes === 0 || (await this.#run(agent, changed, signal)) !== 0) return;
      const { stdoutStream } = await agent.processes.spawn(
        { command: "tar", args: ["--exclude=_logs", "-C", directory, "-cf", "-", "."], stdout: true },
        { signal },
      );
      const stored = await node.files.put(agent.readStream(stdoutStream), { maxBytes: mostBytes, signal });
      await node.files.flush();
      const values = { node_id: node.id, ...stored, used_at: Date.now() };
      await db
        .insertInto("build_caches")
        .values({ app_id: appId, ...values })
        .onConflict((conflict) => conflict.column("app_id").doUpdateSet(values))
        .execute();
      await this.shrink(app.orgId);
    } catch (error) {
      if (signal.aborted) return;
      // Beyond the limit the next build begins without one, so that it does not grow for ever.
      const beyond = error instanceof CaissonError && error.code === "resource_exhausted";
      if (beyond) await this.remove(appId).catch(() => undefined);
      else log.warn({ err: error, app: appId }, "what a build downloaded was not kept");
    }
  }

  /** Removes those of an organisation on this node that no build used for the longest time, until the others are within its limit. */
  async shrink(orgId: string): Promise<void> {
    const { db, node, mostOfOrganisation } = this.#options;
    const rows = await db
      .selectFrom("build_caches")
      .innerJoin("apps", "apps.id", "build_caches.app_id")
      .select(["build_caches.app_id", "build_caches.bytes"])
      .where("apps.org_id", "=", orgId)
      .where("build_caches.node_id", "=", node.id)
      .orderBy("build_caches.used_at", "desc")
      .execute();
    let sum = 0;
    for (const { app_id, bytes } of rows) {
      sum += bytes;
      if (sum > mostOfOrganisation) await this.remove(app_id);
    }
  }

  async remove(appId: string): Promise<void> {
    await this.#options.db.deleteFrom("build_caches").where("app_id", "=", appId).execute();
  }

  /** Removes caches that were not used for long. @returns the contents that are still needed on this node */
  async needed(): Promise<string[]> {
    const { db, node } = this.#options;
    await db
      .deleteFrom("build_caches")
      .where("used_at", "<", Date.now() - unused)
      .execute();
    const rows = await db.selectFrom("build_caches").select("digest").where("node_id", "=", node.id).execute();
    return rows.map(({ digest }) => digest);
  }

  async #run(agent: Agent, command: string, signal: AbortSignal): Promise<number> {
    const { pid } = await agent.processes.spawn({ command: "bash", args: ["-c", command] }, { signal });
    return (await agent.processes.wait({ pid }, { signal })).code;
  }
}
